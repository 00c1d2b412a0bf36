//! Byte-level BPE writes each byte as one printable character: printable Latin-1 bytes as themselves, the other
//! 68 as the characters from U+0100 on, in order of the bytes.

/// The character that stands for each byte.
pub(super) const CHARS: [char; 256] = chars();

/// Appends the bytes that `token` stands for; characters outside the alphabet stand for their own UTF-8.
pub(super) fn decode(token: &str, out: &mut Vec<u8>) {
    for c in token.chars() {
        match byte(c) {
            Some(b) => out.push(b),
            None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Writes `bytes` in byte-level form over `out`.
pub(super) fn encode(bytes: &[u8], out: &mut String) {
    out.clear();
    out.extend(bytes.iter().map(|&b| CHARS[usize::from(b)]));
}

fn byte(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ 0..=255 if printable(code as u8) => Some(code as u8),
        code @ 256..=323 => Some(OTHERS[(code - 256) as usize]),
        _ => None,
    }
}

const fn printable(b: u8) -> bool {
    matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The bytes that do not print, in order.
const OTHERS: [u8; 68] = {
    let (mut out, mut n, mut b) = ([0; 68], 0, 0);
    while b < 256 {
        if !printable(b as u8) {
            out[n] = b as u8;
            n += 1;
        }
        b += 1;
    }
    out
};

const fn chars() -> [char; 256] {
    let (mut out, mut n, mut b) = (['\0'; 256], 0, 0);
    while b < 256 {
        let code = if printable(b as u8) {
            b
        } else {
            n += 1;
            255 + n
        };
        out[b as usize] = match char::from_u32(code) {
            Some(c) => c,
            None => panic!("codes below 324 are characters"),
        };
        b += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character_and_comes_back() {
        assert_eq!((CHARS[usize::from(b' ')], CHARS[usize::from(b'\n')], CHARS[0xAD]), ('Ġ', 'Ċ', 'Ń'));
        for b in 0..=255u8 {
            let mut out = Vec::new();
            decode(&CHARS[usize::from(b)].to_string(), &mut out);
            assert_eq!(out, [b]);
        }
        let mut out = Vec::new();
        decode("日", &mut out);
        assert_eq!(out, "日".as_bytes());
    }
}
