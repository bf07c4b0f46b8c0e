//! That no text makes a function of this folder panic, whatever bytes it has: pieces that mean something to the readers, joined at random.

use super::json_read;
use super::keys::PrivateKey;
use super::{encoding, time_layout, yaml_read};

/// What means something to one of the readers.
const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"'",
    b"\\",
    b"\\u12",
    b":",
    b",",
    b"-",
    b"- ",
    b": ",
    b"\n",
    b" ",
    b"  ",
    b"\t",
    b"#",
    b"&a ",
    b"*a",
    b"<<",
    b"!!int ",
    b"!!binary ",
    b"|",
    b">",
    b"?",
    b"---",
    b"...",
    b"~",
    b"null",
    b"true",
    b"0",
    b"1",
    b"9",
    b"99999999999999999999",
    b"1e999",
    b".",
    b".5",
    b"e",
    b"E+",
    b"+",
    b"_",
    b"x",
    b"0x",
    b"Jan",
    b"Mon",
    b"MST",
    b"2006",
    b"_2",
    b"__2",
    b"002",
    b"PM",
    b"-07:00",
    b"Z0700",
    b".000",
    b",999",
    b"GMT+3",
    b"UTC",
    b"h",
    b"ms",
    b"\xC2\xB5s",
    b"//",
    b"/",
    b"@",
    b"%",
    b"%zz",
    b"%25",
    b"::1",
    b"=",
    b"==",
    b"\xFF",
    b"\xE2\x80\xA8",
    b"\xC2\x85",
    b"\0",
    b"\x7F",
    b"v1.",
    b"||",
    b"~>",
    b"-----BEGIN PRIVATE KEY-----\n",
    b"-----END PRIVATE KEY-----\n",
    b"MC4CAQAwBQYDK2VwBCIEI",
    b"AAAA",
    b"MFRGG===",
];

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn text(state: &mut u64) -> Vec<u8> {
    let count = next(state) % 12;
    (0..count).flat_map(|_| PIECES[(next(state) % PIECES.len() as u64) as usize].iter().copied()).collect()
}

#[test]
fn no_text_makes_a_reader_panic() {
    let mut state = 7;
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let (text, other) = (text(&mut state), text(&mut state));
        let answers = [
            json_read::read(&text).1.is_none(),
            yaml_read::read(&text).is_ok(),
            encoding::base64_decode(&text).is_ok(),
            encoding::base32_decode(&text).is_ok(),
            time_layout::parse(&text, &other).is_ok(),
            time_layout::parse(&text, &text).is_ok(),
            super::dates::parse_duration(&text).is_ok(),
            super::url::is_url(&text),
            PrivateKey::from_pem(&text).is_ok(),
            !time_layout::format(&super::time::Time::of_unix(next(&mut state) as i64).civil(), &String::from_utf8_lossy(&text)).is_empty(),
        ];
        for answer in answers {
            *if answer { &mut read } else { &mut refused } += 1;
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} texts are read, {refused} refused");
}

#[test]
fn what_was_written_is_read_as_it_was() {
    let mut state = 11;
    for _ in 0..2_000 {
        let bytes = text(&mut state);
        let text = json_read::replaced(&bytes);
        let mut json = Vec::new();
        super::json::push_text(&mut json, text.as_bytes(), next(&mut state).is_multiple_of(2));
        let (value, refused) = json_read::read(&json);
        assert_eq!(refused, None);
        assert!(matches!(value, hub_gotemplate::Value::Text(read) if read.as_str() == Some(&text)), "{text:?}");
    }
}
