//! Escapes in quoted strings, numbers, hexadecimal blobs.

/// The bytes that a quoted string stands for: C's escapes (`\n \t \r \f \v \a \b \0 \\ \" \'`, `\xHH`, octal) replaced.
///
/// # Errors
/// The escape that is not known or not finished, as text.
pub fn unescape(raw: &str) -> Result<Vec<u8>, String> {
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        at += 1;
        if b != b'\\' {
            out.push(b);
            continue;
        }
        let Some(&e) = bytes.get(at) else { return Err("\\ at the end of the string".into()) };
        at += 1;
        out.push(match e {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'f' => 0x0c,
            b'v' => 0x0b,
            b'a' => 0x07,
            b'b' => 0x08,
            b'\\' | b'"' | b'\'' => e,
            b'x' => {
                let digits =
                    bytes[at..].iter().take(2).take_while(|b| b.is_ascii_hexdigit()).count();
                let value = std::str::from_utf8(&bytes[at..at + digits]).ok();
                let Some(value) = value.and_then(|v| u8::from_str_radix(v, 16).ok()) else {
                    return Err("\\x without hexadecimal digits".into());
                };
                at += digits;
                value
            }
            b'0'..=b'7' => {
                let mut value = u32::from(e - b'0');
                for _ in 0..2 {
                    let Some(d @ b'0'..=b'7') = bytes.get(at) else { break };
                    value = value * 8 + u32::from(d - b'0');
                    at += 1;
                }
                u8::try_from(value).map_err(|_| "octal escape above 255".to_string())?
            }
            other => return Err(format!("unknown escape \\{}", char::from(other))),
        });
    }
    Ok(out)
}

/// The bytes of a blob of hexadecimal digits; `None` for odd lengths and other characters.
pub(crate) fn hex_bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}

/// Seconds with up to nine decimals (further ones are cut) to nanoseconds; `None` if negative, malformed, or beyond eleven days.
pub(crate) fn seconds_to_ns(text: &str) -> Option<i64> {
    const LIMIT_S: i64 = 1_000_000;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    if !(0..=LIMIT_S).contains(&whole)
        || text.starts_with('-')
        || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let mut ns = 0;
    for at in 0..9 {
        ns = ns * 10 + fraction.as_bytes().get(at).map_or(0, |b| i64::from(b - b'0'));
    }
    Some(whole * 1_000_000_000 + ns)
}

/// The candidate that `word` is probably meant to be: within one change of a short word, two of a longer one.
pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    const LONGEST: usize = 40;
    let limit = if word.len() < 5 { 1 } else { 2 };
    let near = |candidate: &&'a str| {
        let likely = word.len() > 1
            && candidate.len() > 1
            && word.len().max(candidate.len()) <= LONGEST
            && word.len().abs_diff(candidate.len()) <= limit;
        likely.then(|| (distance(word, candidate), *candidate)).filter(|(d, _)| *d <= limit)
    };
    candidates.iter().filter_map(near).min_by_key(|(d, _)| *d).map(|(_, candidate)| candidate)
}

/// The suggestion for a word that is nearly one of `candidates`, which it is not.
pub(crate) fn did_you_mean(word: &str, candidates: &[&str]) -> Option<String> {
    if candidates.contains(&word) {
        return None;
    }
    nearest(word, candidates).map(|near| format!("did you mean `{near}`?"))
}

/// Insertions, removals, replacements and swaps of neighbours (case aside) that lead from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_ascii_lowercase().into_bytes(), b.to_ascii_lowercase().into_bytes());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(usize::MAX)
}
