//! Reading from the engine: records, blobs, and the examination that compares all that is stored with the store's own account of it.
//! Locks and threads are left to the callers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Bound::{Excluded, Included, Unbounded};

use bytes::Bytes;
use shared_model::Digest;

use super::disk::{self, Layout};
use super::layout::{
    self, BlobHead, Head, Place, ROOT, Root, TREE, Tally, area, blob_member, blob_name, blob_piece_name, parse_blob_name, parse_piece_name,
    parse_record_name, piece_name, record_member, record_name, unseal,
};
use crate::blob::{BlobInfo, BlobPage};
use crate::error::{Flaw, StoreError};
use crate::key::{Key, Prefix};
use crate::report::{CheckReport, Damage};
use crate::stream::{Part, StreamWriter};
use crate::{Entry, PAGE_BYTES, Page};

/// The engine and the files beside it.
pub(super) struct Engine {
    pub(super) items: sled::Tree,
    pub(super) db: sled::Db,
    pub(super) layout: Layout,
}

/// What an examination found.
#[derive(Debug, Default)]
pub(super) struct Examination {
    pub(super) report: CheckReport,
    pub(super) root: Option<Root>,
    pub(super) trees: BTreeMap<String, Tally>,
    /// Pieces that no record refers to: a crash came between a shorter value and their removal. Harmless.
    pub(super) orphans: Vec<sled::IVec>,
}

/// What a blob's record leads to.
pub(super) enum BlobSource {
    Content(Bytes),
    /// Open already, so that a removal at the same time does not matter.
    File(File, u64),
}

/// An error of the engine itself. Nothing can be said about what it holds, so the store stops.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(super) fn engine_failed(error: sled::Error) -> StoreError {
    StoreError::Stopped { cause: format!("the embedded engine failed: {error}") }
}

impl Engine {
    pub(super) fn item(&self, name: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        self.items.get(name).map_err(engine_failed)
    }

    pub(super) fn head(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        let name = record_name(key);
        let head = |sealed: sled::IVec| Head::unseal(&name, &sealed).map(|(head, _)| head);
        self.item(&name)?.map(head).transpose().map_err(|flaw| StoreError::Corrupt { key: key.clone(), flaw })
    }

    pub(super) fn record(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let name = record_name(key);
        self.item(&name)?.map(|sealed| self.assembled(key, &name, &sealed)).transpose()
    }

    /// A record's value from its head and further pieces.
    fn assembled(&self, key: &Key, name: &[u8], sealed: &[u8]) -> Result<Entry, StoreError> {
        let corrupt = |flaw| StoreError::Corrupt { key: key.clone(), flaw };
        let (head, first) = Head::unseal(name, sealed).map_err(corrupt)?;
        let mut value = Vec::with_capacity(head.length);
        value.extend_from_slice(first);
        for piece in 1..=head.more_pieces() {
            let name = piece_name(key, piece);
            let sealed = self.item(&name)?.ok_or(corrupt(Flaw::Missing))?;
            let (version, bytes) = unseal(&name, &sealed).map_err(corrupt)?.split_at_checked(8).ok_or(corrupt(Flaw::Short))?;
            if version != head.version.0.to_be_bytes() {
                return Err(corrupt(Flaw::Missing));
            }
            value.extend_from_slice(bytes);
        }
        if value.len() != head.length {
            return Err(corrupt(Flaw::Short));
        }
        Ok(Entry { value: value.into(), version: head.version })
    }

    pub(super) fn range(&self, prefix: &Prefix, start_after: Option<&Key>, limit: usize) -> Result<Page, StoreError> {
        let first = [&[area::RECORD], prefix.as_str().as_bytes()].concat();
        let from = match start_after {
            Some(key) if key.as_str() >= prefix.as_str() => Excluded(record_name(key)),
            _ => Included(first.clone()),
        };
        let mut page = Page::default();
        let mut bytes = 0;
        for item in self.items.range((from, Unbounded)) {
            let (name, sealed) = item.map_err(engine_failed)?;
            if !name.starts_with(&first) {
                break;
            }
            if page.entries.len() == limit.max(1) || bytes >= PAGE_BYTES {
                page.next = page.entries.last().map(|(key, _)| key.clone());
                break;
            }
            let key = parse_record_name(&name).ok_or_else(|| unnamed(&name))?;
            let entry = self.assembled(&key, &name, &sealed)?;
            bytes += entry.value.len();
            page.entries.push((key, entry));
        }
        Ok(page)
    }

    pub(super) fn blob_head(&self, digest: Digest) -> Result<Option<BlobHead>, StoreError> {
        let name = blob_name(digest);
        let head = |sealed: sled::IVec| BlobHead::unseal(&name, &sealed);
        self.item(&name)?.map(head).transpose().map_err(|flaw| StoreError::CorruptBlob { digest, flaw })
    }

    /// Where the blob's bytes are, with those that the engine holds.
    pub(super) fn blob_source(&self, digest: Digest, head: BlobHead) -> Result<BlobSource, StoreError> {
        let corrupt = |flaw| StoreError::CorruptBlob { digest, flaw };
        if head.place == Place::File {
            let file = File::open(self.layout.blob(digest)).map_err(|_| corrupt(Flaw::Missing))?;
            return Ok(BlobSource::File(file, head.length));
        }
        let mut content = Vec::with_capacity(head.length as usize);
        for piece in 0..head.pieces() {
            let name = blob_piece_name(digest, piece);
            let sealed = self.item(&name)?.ok_or(corrupt(Flaw::Missing))?;
            content.extend_from_slice(unseal(&name, &sealed).map_err(corrupt)?);
        }
        if Digest::of(&content) == digest { Ok(BlobSource::Content(content.into())) } else { Err(corrupt(Flaw::Digest)) }
    }

    /// The blob's verified content.
    pub(super) fn blob(&self, digest: Digest, head: BlobHead) -> Result<Bytes, StoreError> {
        self.blob_source(digest, head)?.read(digest)
    }

    pub(super) fn list_blobs(&self, start_after: Option<Digest>, limit: usize) -> Result<BlobPage, StoreError> {
        let from = start_after.map_or(Included(vec![area::BLOB]), |digest| Excluded(blob_name(digest)));
        let mut page = BlobPage::default();
        for item in self.items.range((from, Excluded(vec![area::BLOB + 1]))) {
            let (name, sealed) = item.map_err(engine_failed)?;
            if page.blobs.len() == limit.max(1) {
                page.next = page.blobs.last().map(|blob| blob.digest);
                break;
            }
            let digest = parse_blob_name(&name).ok_or_else(|| unnamed(&name))?;
            let head = BlobHead::unseal(&name, &sealed).map_err(|flaw| StoreError::CorruptBlob { digest, flaw })?;
            page.blobs.push(BlobInfo { digest, length: head.length, touched: head.touched });
        }
        Ok(page)
    }

    /// Writes all records to an export.
    pub(super) fn export_records<W: Write>(&self, to: &mut StreamWriter<W>) -> Result<(), StoreError> {
        for item in self.items.scan_prefix([area::RECORD]) {
            let (name, sealed) = item.map_err(engine_failed)?;
            let key = parse_record_name(&name).ok_or_else(|| unnamed(&name))?;
            let entry = self.assembled(&key, &name, &sealed)?;
            to.part(&Part::Record(key, entry.version, entry.value))?;
        }
        Ok(())
    }

    /// Reads all records and the index of blobs and compares them with the manifest.
    pub(super) fn examine(&self) -> Result<Examination, StoreError> {
        let mut seen = Examination::default();
        let sealed = self.item(ROOT)?;
        match sealed.ok_or(Flaw::Missing).and_then(|sealed| Root::unseal(&sealed)) {
            Ok(root) => seen.root = Some(root),
            Err(flaw) => seen.report.damaged(Damage::Manifest(flaw)),
        }
        self.examine_records(&mut seen)?;
        self.examine_pieces(&mut seen)?;
        self.examine_blobs(&mut seen)?;
        Ok(seen)
    }

    fn examine_records(&self, seen: &mut Examination) -> Result<(), StoreError> {
        let mut found: BTreeMap<String, Tally> = BTreeMap::new();
        for item in self.items.scan_prefix([area::RECORD]) {
            let (name, sealed) = item.map_err(engine_failed)?;
            let Some(key) = parse_record_name(&name) else {
                seen.report.damaged(Damage::Item(hexadecimal(&name), Flaw::Missing));
                continue;
            };
            seen.report.records += 1;
            match self.assembled(&key, &name, &sealed) {
                Ok(entry) => found.entry(key.tree().to_owned()).or_default().add(record_member(&key, entry.version)),
                Err(StoreError::Corrupt { key, flaw }) => seen.report.damaged(Damage::Record(key, flaw)),
                Err(other) => return Err(other),
            }
        }
        for item in self.items.scan_prefix(TREE) {
            let (name, sealed) = item.map_err(engine_failed)?;
            let tree = String::from_utf8_lossy(&name[TREE.len()..]).into_owned();
            match Tally::unseal(&name, &sealed) {
                Ok(tally) => drop(seen.trees.insert(tree, tally)),
                Err(flaw) => seen.report.damaged(Damage::Manifest(flaw)),
            }
        }
        for tree in seen.trees.keys().chain(found.keys()).collect::<std::collections::BTreeSet<_>>() {
            let tally = |tallies: &BTreeMap<String, Tally>| tallies.get(tree).copied().unwrap_or_default();
            let (expected, found) = (tally(&seen.trees), tally(&found));
            if expected != found {
                seen.report.damaged(Damage::Tree { tree: tree.clone(), expected: expected.count, found: found.count });
            }
        }
        Ok(())
    }

    fn examine_pieces(&self, seen: &mut Examination) -> Result<(), StoreError> {
        for name in self.items.scan_prefix([area::PIECE]).keys() {
            let name = name.map_err(engine_failed)?;
            let Some((key, piece)) = parse_piece_name(&name) else {
                seen.report.damaged(Damage::Item(hexadecimal(&name), Flaw::Missing));
                continue;
            };
            // A head that cannot be read is reported already, and its pieces are kept for whoever looks into it.
            if let Ok(head) = self.head(&key)
                && head.is_none_or(|head| piece > head.more_pieces())
            {
                seen.orphans.push(name);
            }
        }
        Ok(())
    }

    /// Compares the index of blobs with the manifest and with the files that are there; contents are verified when they are read.
    fn examine_blobs(&self, seen: &mut Examination) -> Result<(), StoreError> {
        let mut found = Tally::default();
        for item in self.items.scan_prefix([area::BLOB]) {
            let (name, sealed) = item.map_err(engine_failed)?;
            let Some(digest) = parse_blob_name(&name) else {
                seen.report.damaged(Damage::Item(hexadecimal(&name), Flaw::Missing));
                continue;
            };
            seen.report.blobs += 1;
            found.add(blob_member(digest));
            match BlobHead::unseal(&name, &sealed) {
                Err(flaw) => seen.report.damaged(Damage::Blob(digest, flaw)),
                Ok(BlobHead { place: Place::File, length, .. }) => match fs::metadata(self.layout.blob(digest)) {
                    Ok(metadata) if metadata.len() == length => {}
                    Ok(_) => seen.report.damaged(Damage::Blob(digest, Flaw::Short)),
                    Err(_) => seen.report.damaged(Damage::Blob(digest, Flaw::Missing)),
                },
                Ok(_) => {}
            }
        }
        if let Some(root) = seen.root
            && root.blobs != found
        {
            seen.report.damaged(Damage::Blobs { expected: root.blobs.count, found: found.count });
        }
        Ok(())
    }

    /// Removes blob files that the index does not know: a crash came between the file and the index, or between removing from the index and
    /// removing the file.
    pub(super) fn sweep_blob_files(&self) -> io::Result<u64> {
        let mut removed = 0;
        for digest in disk::list_blob_files(&self.layout)? {
            if matches!(self.items.get(layout::blob_name(digest)), Ok(None)) {
                fs::remove_file(self.layout.blob(digest))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

impl BlobSource {
    /// The verified content.
    pub(super) fn read(self, digest: Digest) -> Result<Bytes, StoreError> {
        match self {
            Self::Content(content) => Ok(content),
            Self::File(mut file, length) => {
                disk::read_blob(&mut file, digest, length).map_err(|flaw| StoreError::CorruptBlob { digest, flaw })
            }
        }
    }
}

/// An item whose name this store never wrote.
fn unnamed(name: &[u8]) -> StoreError {
    StoreError::Stopped { cause: format!("an item has the impossible name {}", hexadecimal(name)) }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
