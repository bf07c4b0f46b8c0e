//! Any bytes as the archive of a chart, and any bytes as what a good gzip holds: it loads or is refused, the same each time.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hub_helm::Chart;

/// The longest name that a header has room for, in bytes.
pub(crate) const LONGEST_NAME: usize = 99;

/// A block of a tar, to which each file is filled up.
const BLOCK: usize = 512;

pub(crate) fn check(input: &[u8]) {
    check_archive(input);
    check_archive(&gzipped(input));
}

fn check_archive(bytes: &[u8]) {
    let outcome = |chart: Result<Chart, hub_helm::ChartError>| match chart {
        Ok(chart) => Ok(chart.metadata().name.clone()),
        Err(error) => Err(error.to_string()),
    };
    let first = outcome(Chart::from_archive(bytes));
    assert!(!first.as_ref().is_ok_and(String::is_empty), "a chart without a name");
    assert!(!first.as_ref().is_err_and(String::is_empty), "a refusal without words");
    assert_eq!(outcome(Chart::from_archive(bytes)), first, "the second time");
}

/// A gzipped tar of these files.
pub(crate) fn packed<'a>(files: impl Iterator<Item = (String, &'a [u8])>) -> Vec<u8> {
    gzipped(&tar(files))
}

/// A tar of these files, as POSIX 1988 writes it. Names longer than [`LONGEST_NAME`] are left out.
pub(crate) fn tar<'a>(files: impl Iterator<Item = (String, &'a [u8])>) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in files.filter(|(name, _)| name.len() <= LONGEST_NAME) {
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, &name);
        put(100, "0000644\0");
        put(124, &format!("{:011o}\0", content.len()));
        put(136, "00000000000\0");
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend_from_slice(&header);
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    tar
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory can be written")
}
