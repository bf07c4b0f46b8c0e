//! Packs a chart for tests, as `helm package` does: the same files give the same bytes.

use std::io::Write;

use flate2::{Compression, GzBuilder};

/// Size of a block of a tar archive, POSIX.1-1988.
const BLOCK: usize = 512;

/// Packs `files` (path below the chart's directory, such as `templates/service.yaml`, and content) into `chart`'s `.tgz`.
///
/// # Errors
/// A path does not fit into an old tar header: with the chart's name 100 bytes at most.
pub fn pack_chart(chart: &str, files: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
    // No time and no name in the header of gzip either.
    let mut packed = GzBuilder::new().write(Vec::new(), Compression::default());
    for (path, content) in files {
        packed.write_all(&header(&format!("{chart}/{path}"), content.len())?)?;
        packed.write_all(content.as_bytes())?;
        packed.write_all(&vec![0; content.len().next_multiple_of(BLOCK) - content.len()])?;
    }
    packed.write_all(&[0; 2 * BLOCK])?;
    Ok(packed.finish()?)
}

/// A "ustar" header of a regular file that everyone may read.
fn header(path: &str, size: usize) -> anyhow::Result<[u8; BLOCK]> {
    anyhow::ensure!(path.len() <= 100, "{path} is longer than 100 bytes");
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn tar_lists_what_was_packed() {
        let archive = pack_chart("web", &[("Chart.yaml", "name: web\n"), ("templates/a.yaml", &"x".repeat(600))]).unwrap();
        assert_eq!(archive, pack_chart("web", &[("Chart.yaml", "name: web\n"), ("templates/a.yaml", &"x".repeat(600))]).unwrap());
        let mut tar = Command::new("tar").args(["-tzvf", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        tar.stdin.take().unwrap().write_all(&archive).unwrap();
        let output = tar.wait_with_output().unwrap();
        let listed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && listed.contains(" 10 ") && listed.contains("web/Chart.yaml"), "{listed}");
        assert!(listed.contains(" 600 ") && listed.contains("web/templates/a.yaml"), "{listed}");
    }
}
