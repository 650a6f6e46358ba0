//! Tables of bytes and what they mean, and the property over any bytes.

use super::*;
use crate::wire::properties;
use proptest::prelude::*;

fn between(source: &str, destination: &str) -> Option<Endpoints> {
    let end = |text: &str| text.parse().expect("an address");
    Some(Endpoints {
        source: end(source),
        destination: end(destination),
    })
}

fn complete(bytes: &[u8]) -> Option<Endpoints> {
    match read(bytes) {
        Verdict::Complete(header) => {
            assert_eq!(header.size, bytes.len(), "{}", bytes.escape_ascii());
            header.endpoints
        }
        other => panic!("{other:?}: {}", bytes.escape_ascii()),
    }
}

#[test]
fn lines() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 16));
    assert_eq!(longest.len(), 107);
    for (line, means) in [
        (
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
            between("192.168.0.1:56324", "192.168.0.11:443"),
        ),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            between("255.255.255.255:65535", "255.255.255.255:65535"),
        ),
        (
            "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n",
            between("0.0.0.0:0", "0.0.0.0:0"),
        ),
        (
            "PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
            between("[2001:db8::1]:1", "[::1]:2"),
        ),
        (
            "PROXY TCP6 2001:DB8::A ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 1 2\r\n",
            between(
                "[2001:db8::a]:1",
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:2",
            ),
        ),
        (
            "PROXY TCP6 ::ffff:10.0.0.1 0:0:0:0:0:0:0:1 1 2\r\n",
            between("[::ffff:10.0.0.1]:1", "[::1]:2"),
        ),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN \r\n", None),
        ("PROXY UNKNOWN ffff::1 whatever \r there is\r\n", None),
        (longest.as_str(), None),
    ] {
        assert_eq!(complete(line.as_bytes()), means, "{line:?}");
        let behind = format!("{line}PROXY");
        assert!(
            matches!(read(behind.as_bytes()), Verdict::Complete(header) if header.size == line.len())
        );
    }
}

#[test]
fn lines_that_are_none() {
    use Fault::{BadAddress, BadLine, BadPort, NoHeader, TooLong};
    let long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(108 - 16));
    for (line, fault) in [
        ("GET / HTTP/1.1\r\n", NoHeader),
        ("P UNKNOWN\r\n", NoHeader),
        ("PROXY\tUNKNOWN\r\n", NoHeader),
        ("PROXY\r\n", NoHeader),
        ("proxy UNKNOWN\r\n", NoHeader),
        (" PROXY UNKNOWN\r\n", NoHeader),
        ("PROXY \r\n", BadLine),
        ("PROXY UNKNOWN\n", BadLine),
        ("PROXY UNKNOWNS\r\n", BadLine),
        ("PROXY  UNKNOWN\r\n", BadLine),
        ("PROXY unknown\r\n", BadLine),
        ("PROXY TCP 1.2.3.4 5.6.7.8 1 2\r\n", BadLine),
        ("PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", BadLine),
        ("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", BadLine),
        ("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", BadLine),
        ("PROXY TCP4\r\n", BadLine),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", BadLine),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", BadLine),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", BadLine),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", BadLine),
        ("PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", BadLine),
        ("PROXY TCP4 1.2.3.4 \u{663} 1 2\r\n", BadAddress),
        ("PROXY TCP4 1.2.3.4\t5.6.7.8 1 2 3\r\n", BadAddress),
        ("PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", BadAddress),
        ("PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n", BadAddress),
        ("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", BadAddress),
        ("PROXY TCP4 0x1.2.3.4 5.6.7.8 1 2\r\n", BadAddress),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", BadAddress),
        ("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", BadAddress),
        ("PROXY TCP6 ::1 ::g 1 2\r\n", BadAddress),
        ("PROXY TCP6 ::1 1::2::3 1 2\r\n", BadAddress),
        ("PROXY TCP6 ::1 00001::2 1 2\r\n", BadAddress),
        ("PROXY TCP6 fe80::1%1 ::1 1 2\r\n", BadAddress),
        ("PROXY TCP6 [::1] ::1 1 2\r\n", BadAddress),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", BadPort),
        (
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 99999999999999999999\r\n",
            BadPort,
        ),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", BadPort),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 00 2\r\n", BadPort),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", BadPort),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", BadPort),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n", BadPort),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\0\r\n", BadPort),
        (long.as_str(), TooLong),
    ] {
        assert_eq!(read(line.as_bytes()), Verdict::Refused(fault), "{line:?}");
    }
    assert_eq!(read(b"PROXY TCP4 \xff\r\n"), Verdict::Refused(BadLine));
    assert_eq!(read(&[b'P'; 5_000]), Verdict::Refused(NoHeader));
}

fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut block = SIGNATURE.to_vec();
    block.extend([command, family]);
    block.extend((rest.len() as u16).to_be_bytes());
    block.extend(rest);
    block
}

/// 10.1.2.3:258 → 10.4.5.6:80.
const FOUR: &[u8] = b"\x0a\x01\x02\x03\x0a\x04\x05\x06\x01\x02\x00\x50";

fn four_with(tlvs: &[u8]) -> Vec<u8> {
    block(PROXY, TCP4, &[FOUR, tlvs].concat())
}

#[test]
fn blocks() {
    let four = between("10.1.2.3:258", "10.4.5.6:80");
    let mut six = [0; 36];
    (six[0], six[15], six[31], six[33], six[35]) = (0x20, 1, 2, 3, 4);
    let six = |tlvs: &[u8]| block(PROXY, TCP6, &[&six, tlvs].concat());
    let means_six = between("[2000::1]:3", "[::2]:4");
    for (bytes, means) in [
        (four_with(b""), four),
        (four_with(b"\x04\x00\x00"), four),
        (four_with(b"\x04\x00\x02xx\xea\x00\x01y"), four),
        (six(b""), means_six),
        (six(b"\x01\x00\x02h1"), means_six),
        (block(PROXY, 0x31, &[1; 216]), None),
        (block(PROXY, 0x12, FOUR), None),
        (block(PROXY, 0x22, &[0; 36]), None),
        (block(PROXY, 0x10, b""), None),
        (block(PROXY, 0, b""), None),
        (block(PROXY, 0, b"anything"), None),
        (block(LOCAL, 0, b""), None),
        (block(LOCAL, TCP4, FOUR), None),
        (block(LOCAL, 0xff, b"x"), None),
        (block(LOCAL, 0, &[0; LONGEST - 16]), None),
    ] {
        assert_eq!(complete(&bytes), means, "{}", bytes.escape_ascii());
        let behind = [&bytes[..], b"GET"].concat();
        assert!(matches!(read(&behind), Verdict::Complete(header) if header.size == bytes.len()));
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Verdict::Partial, "{cut}");
        }
    }
}

#[test]
fn blocks_that_are_none() {
    use Fault::{BadCommand, BadFamily, BadTlv, BadVersion, NoHeader, TooLong, TooShort};
    for (bytes, fault) in [
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), NoHeader),
        (b"\r\nGET / HTTP/1.1\r\n".to_vec(), NoHeader),
        (b"\0".to_vec(), NoHeader),
        (block(0x11, TCP4, FOUR), BadVersion),
        (block(0x01, TCP4, FOUR), BadVersion),
        (block(0x31, TCP4, FOUR), BadVersion),
        (block(0x22, TCP4, FOUR), BadCommand),
        (block(0x2f, TCP4, FOUR), BadCommand),
        (block(PROXY, 0x41, FOUR), BadFamily),
        (block(PROXY, 0x13, FOUR), BadFamily),
        (block(PROXY, TCP4, &FOUR[..11]), TooShort),
        (block(PROXY, TCP4, b""), TooShort),
        (block(PROXY, TCP6, &[0; 35]), TooShort),
        (block(PROXY, 0x31, &[0; 215]), TooShort),
        (block(PROXY, 0x12, &FOUR[..11]), TooShort),
        (block(LOCAL, 0, &[0; LONGEST - 15]), TooLong),
        (block(PROXY, TCP4, &[0; 65_535]), TooLong),
        (four_with(b"\x04"), BadTlv),
        (four_with(b"\x04\x00"), BadTlv),
        (four_with(b"\x04\x00\x01"), BadTlv),
        (four_with(b"\x04\xff\xff"), BadTlv),
        (four_with(b"\x03\x00\x03abc"), BadTlv),
        (four_with(b"\x03\x00\x05abcde"), BadTlv),
        (four_with(b"\x03\x00\x04abcd\x03\x00\x04abcd"), BadTlv),
    ] {
        assert_eq!(
            read(&bytes),
            Verdict::Refused(fault),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn a_checksum_is_verified() {
    // As a sender makes it: the sum over the header with zeros in its place.
    let make = |before: &[u8], behind: &[u8]| {
        let mut bytes = four_with(&[before, b"\x03\x00\x04\0\0\0\0", behind].concat());
        let place = 28 + before.len() + 3;
        let mut crc = checksum::Crc32c::new();
        crc.add(&bytes);
        bytes[place..place + 4].copy_from_slice(&crc.finish().to_be_bytes());
        bytes
    };
    for bytes in [make(b"", b""), make(b"\x04\x00\x02xx", b"\x01\x00\x02h2")] {
        assert!(complete(&bytes).is_some());
        for at in 16..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                // A changed length or kind may hide the checksum itself; a changed address never passes.
                let passes = matches!(read(&changed), Verdict::Complete(_));
                assert!(!passes || at >= 28, "byte {at}, bit {bit}");
            }
        }
    }
    let mut wrong = make(b"", b"");
    wrong[16] ^= 1;
    assert_eq!(read(&wrong), Verdict::Refused(Fault::BadChecksum));
}

#[test]
fn what_is_written() {
    use ProxyVersion::{V1, V2};
    let four = between("10.1.2.3:258", "10.4.5.6:80");
    let mapped = between("[::ffff:10.1.2.3]:258", "[::ffff:10.4.5.6]:80");
    let mixed = between("10.1.2.3:258", "[2001:db8::1]:80");
    let mut mixed_block = [0; 36];
    mixed_block[10..16].copy_from_slice(b"\xff\xff\x0a\x01\x02\x03");
    mixed_block[16..20].copy_from_slice(b"\x20\x01\x0d\xb8");
    (
        mixed_block[31],
        mixed_block[32],
        mixed_block[33],
        mixed_block[35],
    ) = (1, 1, 2, 80);
    let longest = between(
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
    );
    let ones = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let line = |text: &str| text.as_bytes().to_vec();
    for (version, endpoints, bytes) in [
        (V1, four, line("PROXY TCP4 10.1.2.3 10.4.5.6 258 80\r\n")),
        (V1, mapped, line("PROXY TCP4 10.1.2.3 10.4.5.6 258 80\r\n")),
        (
            V1,
            mixed,
            line("PROXY TCP6 ::ffff:a01:203 2001:db8::1 258 80\r\n"),
        ),
        (
            V1,
            longest,
            line(&format!("PROXY TCP6 {ones} {ones} 65535 65535\r\n")),
        ),
        (V1, None, line("PROXY UNKNOWN\r\n")),
        (V2, four, four_with(b"")),
        (V2, mapped, four_with(b"")),
        (V2, mixed, block(PROXY, TCP6, &mixed_block)),
        (V2, None, block(LOCAL, 0, b"")),
    ] {
        let mut out = Vec::new();
        write(version, endpoints.as_ref(), &mut out);
        assert_eq!(out, bytes, "{}", out.escape_ascii());
        properties::proxy_header(&out);
    }
}

proptest! {
    #[test]
    fn any_bytes(start in 0_usize..7, rest: Vec<u8>) {
        let starts: [&[u8]; 7] = [
            b"", b"PROXY ", b"PROXY TCP4 1.2.3.4 5.6.7.8 ", b"PROXY UNKNOWN",
            &SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00", b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x03",
        ];
        properties::proxy_header(&[starts[start], &rest].concat());
    }

    #[test]
    fn any_addresses(pair: (IpAddr, IpAddr), ports: (u16, u16), v2: bool, behind: Vec<u8>) {
        let endpoints = Endpoints {
            source: SocketAddr::new(pair.0, ports.0),
            destination: SocketAddr::new(pair.1, ports.1),
        };
        let version = if v2 { ProxyVersion::V2 } else { ProxyVersion::V1 };
        let mut out = Vec::new();
        write(version, Some(&endpoints), &mut out);
        prop_assert!(v2 || out.len() <= 104);
        out.extend(behind);
        properties::proxy_header(&out);
    }
}
