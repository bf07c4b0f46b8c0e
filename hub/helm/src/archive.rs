//! Reading a chart's archive, a gzipped tar, into files by name. Everything about it is bounded, and nothing in it can name a place outside of it.
//! What the files mean is left to `load`.

use std::io::{ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;
use hub_gotemplate::Text;

/// The largest archive that is read, packed: ten times the largest of 10,000 public charts; OCI registries and Helm's own repositories are far below.
pub(crate) const PACKED_LIMIT: usize = 10 << 20;

/// The most bytes that an archive may unpack to, with those of the archives in it: Helm's limit.
pub(crate) const UNPACKED_LIMIT: u64 = 100 << 20;

/// The largest file in an archive: Helm's limit.
pub(crate) const FILE_LIMIT: u64 = 5 << 20;

/// The most entries of an archive: three times as many as the largest public charts with all their subcharts have.
pub(crate) const ENTRY_LIMIT: usize = 20_000;

/// The longest name, and the longest extended header with it: Linux's `PATH_MAX`, and as much again for what else such a header says.
const NAME_LIMIT: u64 = 2 * 4096;

/// One file of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Its path in the chart.
    pub(crate) name: String,
    /// What it holds, without a byte order mark.
    pub(crate) data: Text,
}

/// Why an archive is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// No gzip.
    #[error("it does not appear to be a gzipped archive; make one with `helm package`")]
    NotGzip,
    /// Damaged, or no tar.
    #[error("unable to load chart archive: {0}; package the chart again")]
    Damaged(String),
    /// The archive is too large before it is unpacked.
    #[error("the archive has {bytes} bytes, more than {PACKED_LIMIT}; take what is not needed out of the chart with .helmignore")]
    Packed {
        /// Its size.
        bytes: usize,
    },
    /// Too large when unpacked.
    #[error(
        "decompressed chart is larger than the maximum size {UNPACKED_LIMIT}; take what is not needed out of the chart with .helmignore"
    )]
    Unpacked,
    /// A file is too large.
    #[error(
        "decompressed chart file {name:?} is larger than the maximum file size {FILE_LIMIT}; take it out of the chart with .helmignore"
    )]
    File {
        /// Its name.
        name: String,
    },
    /// Too many entries.
    #[error("the archive has more than {ENTRY_LIMIT} entries; take what is not needed out of the chart with .helmignore")]
    Entries,
    /// An absolute path.
    #[error("chart illegally contains absolute paths: {0:?}; package the chart with `helm package`")]
    Absolute(String),
    /// A file that lies in no directory.
    #[error("chart illegally contains content outside the base directory: {0:?}; package the chart with `helm package`")]
    OutsideBase(String),
    /// A path that leads out.
    #[error("chart illegally references parent directory: {0:?}; package the chart with `helm package`")]
    Parent(String),
    /// A drive letter.
    #[error("chart contains illegally named files: {0:?}; package the chart with `helm package`")]
    IllegalName(String),
    /// `Chart.yaml` at the top.
    #[error("chart yaml not in base directory; package the chart's directory, not what is in it")]
    NoBase,
    /// A link, a device or the like.
    #[error("the chart's archive holds {name:?}, which is no regular file; package the chart with `helm package`, which follows links")]
    Irregular {
        /// Its name.
        name: String,
    },
    /// Nothing.
    #[error("no files in chart archive; package the chart again")]
    Empty,
}

/// What is left of [`UNPACKED_LIMIT`] for an archive and those in it.
#[derive(Debug)]
pub(crate) struct Allowance(u64);

impl Default for Allowance {
    fn default() -> Self {
        Self(UNPACKED_LIMIT)
    }
}

/// Whether `bytes` begin as gzip does.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x1f\x8b\x08")
}

/// The files of the archive `bytes`, in its order, without the first directory of their names.
pub(crate) fn unpack(bytes: &[u8], allowance: &mut Allowance) -> Result<Vec<File>, ArchiveError> {
    if bytes.len() > PACKED_LIMIT {
        return Err(ArchiveError::Packed { bytes: bytes.len() });
    }
    if !is_gzip(bytes) {
        return Err(ArchiveError::NotGzip);
    }
    let mut tar = Tar { stream: MultiGzDecoder::new(bytes), allowance };
    let (mut files, mut entries) = (Vec::new(), 0);
    while let Some(entry) = tar.next()? {
        entries += 1;
        if entries > ENTRY_LIMIT {
            return Err(ArchiveError::Entries);
        }
        match entry.kind {
            Kind::Directory => tar.skip(entry.size)?,
            Kind::Other => return Err(ArchiveError::Irregular { name: entry.name }),
            Kind::File => {
                let name = name_in_chart(&entry.name)?;
                if entry.size > FILE_LIMIT {
                    return Err(ArchiveError::File { name: entry.name });
                }
                let data = tar.take(entry.size)?;
                files.push(File { name, data: Text::new(without_mark(&data)) });
            }
        }
    }
    if files.is_empty() { Err(ArchiveError::Empty) } else { Ok(files) }
}

/// `data` without a byte order mark.
pub(crate) fn without_mark(data: &[u8]) -> &[u8] {
    data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data)
}

/// The name inside the chart of what the archive calls `written`.
fn name_in_chart(written: &str) -> Result<String, ArchiveError> {
    // Such names come from Windows.
    let delimiter = if written.contains('\\') { '\\' } else { '/' };
    let (base, rest) = written.split_once(delimiter).unwrap_or((written, ""));
    let name = rest.replace(delimiter, "/");
    if name.starts_with('/') {
        return Err(ArchiveError::Absolute(written.to_owned()));
    }
    let name = clean(&name);
    if name == "." {
        return Err(if base == "Chart.yaml" { ArchiveError::NoBase } else { ArchiveError::OutsideBase(written.to_owned()) });
    }
    if name.starts_with("..") {
        return Err(ArchiveError::Parent(written.to_owned()));
    }
    if name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && name[1..].starts_with(":/") {
        return Err(ArchiveError::IllegalName(written.to_owned()));
    }
    if base == "Chart.yaml" { Err(ArchiveError::NoBase) } else { Ok(name) }
}

/// A relative path without `.`, empty segments and what `..` takes back, as Go's `path.Clean` gives it.
pub(crate) fn clean(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." if segments.last().is_some_and(|last| *last != "..") => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    if segments.is_empty() { ".".to_owned() } else { segments.join("/") }
}

/// The size of everything in a tar.
const BLOCK: usize = 512;

struct Tar<'a> {
    stream: MultiGzDecoder<&'a [u8]>,
    allowance: &'a mut Allowance,
}

struct Entry {
    name: String,
    kind: Kind,
    size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Other,
}

impl Tar<'_> {
    /// The next entry, with what extended headers before it say of it. `None` at the end.
    fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let (mut long_name, mut long_size) = (None, None);
        // An entry may have a few headers before it and no more than that: each takes from the allowance.
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let size = number(&header[124..136])?;
            match header[156] {
                b'L' => long_name = Some(until_zero(&self.extension(size)?)),
                b'K' => {
                    self.extension(size)?;
                }
                b'g' => self.skip(size)?,
                b'x' => {
                    for (key, value) in extended(&self.extension(size)?)? {
                        match key.as_str() {
                            "path" => long_name = Some(value),
                            "size" => long_size = Some(value.parse().map_err(|_| damaged("an extended header has no number as size"))?),
                            _ => {}
                        }
                    }
                }
                kind => {
                    let name = long_name.unwrap_or_else(|| short_name(&header));
                    let kind = match kind {
                        b'5' => Kind::Directory,
                        b'0' | 0 | b'7' if name.ends_with('/') => Kind::Directory,
                        b'0' | 0 | b'7' => Kind::File,
                        _ => Kind::Other,
                    };
                    return Ok(Some(Entry { name, kind, size: long_size.unwrap_or(size) }));
                }
            }
        }
    }

    /// The next header. `None` at the end of the archive: two blocks of zeros, or nothing more.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, ArchiveError> {
        for _ in 0..2 {
            let mut block = [0; BLOCK];
            if !self.block(&mut block)? {
                return Ok(None);
            }
            if block.iter().any(|byte| *byte != 0) {
                check(&block)?;
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// Reads a block; `false` at the end of the stream.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, ArchiveError> {
        let mut read = 0;
        while read < BLOCK {
            match self.stream.read(&mut block[read..]) {
                Ok(0) if read == 0 => return Ok(false),
                Ok(0) => return Err(damaged("it ends in the middle of a header")),
                Ok(more) => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(damaged(&error.to_string())),
            }
        }
        self.spend(BLOCK as u64)?;
        Ok(true)
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > NAME_LIMIT { Err(damaged("an extended header is too long")) } else { self.take(size) }
    }

    /// The `size` bytes that follow, without what fills their last block.
    fn take(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        let whole = padded(size)?;
        self.spend(whole)?;
        let mut data = Vec::new();
        self.stream.by_ref().take(whole).read_to_end(&mut data).map_err(|error| damaged(&error.to_string()))?;
        // Like Go, a last block need not be whole.
        if (data.len() as u64) < size {
            return Err(damaged("it ends in the middle of a file"));
        }
        data.truncate(size as usize);
        Ok(data)
    }

    fn skip(&mut self, size: u64) -> Result<(), ArchiveError> {
        let whole = padded(size)?;
        self.spend(whole)?;
        std::io::copy(&mut self.stream.by_ref().take(whole), &mut std::io::sink()).map_err(|error| damaged(&error.to_string()))?;
        Ok(())
    }

    fn spend(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.allowance.0 = self.allowance.0.checked_sub(bytes).ok_or(ArchiveError::Unpacked)?;
        Ok(())
    }
}

fn damaged(why: &str) -> ArchiveError {
    ArchiveError::Damaged(why.to_owned())
}

fn padded(size: u64) -> Result<u64, ArchiveError> {
    size.checked_next_multiple_of(BLOCK as u64).ok_or(ArchiveError::Unpacked)
}

/// Whether the sum in a header is that of its bytes, with its own field taken for spaces; some writers summed signed bytes.
fn check(block: &[u8; BLOCK]) -> Result<(), ArchiveError> {
    let stated = number(&block[148..156])?;
    let bytes = || block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
    let unsigned: u64 = bytes().map(u64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    if stated == unsigned || i64::try_from(stated) == Ok(signed) { Ok(()) } else { Err(damaged("invalid tar header")) }
}

/// A number of a header: octal digits, or binary where the first bit is set.
fn number(field: &[u8]) -> Result<u64, ArchiveError> {
    if field[0] & 0x80 != 0 {
        let mut bytes = field.iter().enumerate().map(|(at, byte)| if at == 0 { byte & 0x7f } else { *byte });
        return bytes
            .try_fold(0_u64, |number, byte| number.checked_mul(256)?.checked_add(byte.into()))
            .ok_or_else(|| damaged("a number in a header is too large"));
    }
    let text = until_zero(field);
    let text = text.trim_matches(' ');
    if text.is_empty() { Ok(0) } else { u64::from_str_radix(text, 8).map_err(|_| damaged("invalid tar header")) }
}

fn until_zero(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn short_name(header: &[u8; BLOCK]) -> String {
    let name = until_zero(&header[..100]);
    // Only POSIX's form has a prefix; GNU keeps other things there.
    let prefix = if &header[257..263] == b"ustar\0" { until_zero(&header[345..500]) } else { String::new() };
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

/// The records of an extended header: `LENGTH KEY=VALUE\n`, each with its own length.
fn extended(mut data: &[u8]) -> Result<Vec<(String, String)>, ArchiveError> {
    let malformed = || damaged("invalid extended header");
    let mut records = Vec::new();
    while !data.is_empty() {
        let space = data.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
        let length: usize = std::str::from_utf8(&data[..space]).ok().and_then(|digits| digits.parse().ok()).ok_or_else(malformed)?;
        let record = data.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(malformed)?;
        let record = String::from_utf8_lossy(record);
        let (key, value) = record.split_once('=').ok_or_else(malformed)?;
        records.push((key.to_owned(), value.to_owned()));
        data = &data[length..];
    }
    Ok(records)
}
