//! Owns which text counts as blank, for ids, slugs, keys and tokens alike.

/// Whether there is nothing but white space, as JavaScript's `trim` defines it: Unicode's, and U+FEFF, which a byte order
/// mark leaves behind.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|character| character.is_whitespace() || character == '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_of_any_script_is_blank_and_what_only_looks_like_it_is_not() {
        for text in ["", " ", "\t\r\n", "\u{85}", "\u{a0}\u{3000}", "\u{2028}", "\u{feff}", " \u{feff} "] {
            assert!(is_blank(text), "{text:?}");
        }
        for text in ["x", " x ", "\u{200b}", "\u{2060}", "\u{180e}", "\u{3164}", "\0"] {
            assert!(!is_blank(text), "{text:?}");
        }
    }
}
