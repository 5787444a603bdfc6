//! Lines of strace's output, joined into records.

use std::collections::BTreeMap;

use miette::{Diagnostic, NamedSource, SourceSpan};

use super::value::{Cursor, Value, parse_int};

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It returned this.
    Ret(i64),
    /// It failed with this errno, by name.
    Err(String),
    /// A signal interrupted it and it was, or would be, restarted (`ERESTARTSYS` ...).
    Restart(String),
    /// The trace ends before it returned.
    Unfinished,
}

/// A system call of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedCall {
    /// Thread that made it.
    pub pid: u32,
    /// Time of entry, nanoseconds since the epoch.
    pub entry_ns: u64,
    /// Time spent in it, nanoseconds.
    pub duration_ns: Option<u64>,
    /// Line of the file on which it starts, from 1.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub args: Vec<Value>,
    /// How it ended.
    pub outcome: Outcome,
    /// What strace adds to the result in parentheses.
    pub remark: Option<String>,
}

/// One record of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A system call.
    Call(TracedCall),
    /// A signal was delivered.
    Signal {
        /// Thread that got it.
        pid: u32,
        /// When, nanoseconds since the epoch.
        time_ns: u64,
        /// Its name.
        name: String,
    },
    /// A thread ended.
    Exit {
        /// The thread.
        pid: u32,
        /// When, nanoseconds since the epoch.
        time_ns: u64,
    },
}

impl Record {
    /// Says which thread it is of, where the trace is of one alone.
    pub fn set_pid(&mut self, thread: u32) {
        match self {
            Self::Call(c) => c.pid = thread,
            Self::Signal { pid, .. } | Self::Exit { pid, .. } => *pid = thread,
        }
    }

    /// When it was, or began.
    pub fn time_ns(&self) -> u64 {
        match self {
            Self::Call(c) => c.entry_ns,
            Self::Signal { time_ns, .. } | Self::Exit { time_ns, .. } => *time_ns,
        }
    }
}

/// What is wrong with a trace, and where.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StraceError {
    /// It could not be read.
    #[error("{file}: {source}")]
    #[diagnostic(code(netplumb::strace::io))]
    Io {
        /// Path of the file.
        file: String,
        /// What the host said.
        source: std::io::Error,
    },
    /// A line is not strace's.
    #[error("{message}")]
    #[diagnostic(
        code(netplumb::strace::line),
        help("expected the output of `strace -f -ttt -T -o FILE PROGRAM`")
    )]
    Line {
        /// What is wrong.
        message: String,
        /// The line with its neighbours.
        #[source_code]
        text: NamedSource<String>,
        /// Where.
        #[label("here")]
        span: SourceSpan,
    },
}

/// The call that a line begins, while its end has not been seen.
struct Pending {
    entry_ns: u64,
    line: usize,
    text: String,
}

/// What strace says on a terminal when a thread begins.
const ATTACHED: &str = "strace: Process ";

/// Parses a trace; records come in order of their (entry) time. `name` is how errors call it.
pub fn parse_strace(name: &str, text: &str) -> Result<Vec<Record>, StraceError> {
    let mut records = Vec::new();
    let mut pending: BTreeMap<u32, Pending> = BTreeMap::new();
    let mut offset = 0;
    // The beginning of a line that strace's own message cut in two.
    let mut begun = String::new();
    for (index, raw) in text.split_inclusive('\n').enumerate() {
        let start = offset;
        offset += raw.len();
        let line = raw.trim_end_matches(['\n', '\r']);
        // `strace: Process 7 attached`, on a terminal: on a line of its own or in one's middle.
        if let Some((head, _)) = line.split_once(ATTACHED).filter(|_| line.ends_with(" attached")) {
            begun.push_str(head);
            continue;
        }
        if line.trim().is_empty() || line.starts_with("strace: ") {
            continue;
        }
        let joined = std::mem::take(&mut begun) + line;
        let line = joined.as_str();
        let fail = |e: LineError| StraceError::Line {
            message: format!("{name}:{}: {}", index + 1, e.message),
            text: NamedSource::new(name, text.to_owned()),
            span: (start + e.at.min(raw.trim_end().len()), 1).into(),
        };
        if let Some(record) = parse_line(line, index + 1, &mut pending).map_err(fail)? {
            records.push(record);
        }
    }
    for (pid, p) in pending {
        // The trace ended inside these; what is known of their arguments is kept.
        let mut call = start_of_call(&p.text).unwrap_or_default();
        records.push(Record::Call(TracedCall {
            pid,
            entry_ns: p.entry_ns,
            duration_ns: None,
            line: p.line,
            name: std::mem::take(&mut call.0),
            args: call.1,
            outcome: Outcome::Unfinished,
            remark: None,
        }));
    }
    name_the_first(&mut records, text);
    after_midnight(&mut records);
    records.sort_by_key(Record::time_ns);
    returns(&mut records);
    Ok(records)
}

/// On a terminal the first process has no number until there is a second one: it is the one that
/// strace did not attach to later.
fn name_the_first(records: &mut [Record], text: &str) {
    let mut attached = text.lines().filter_map(|l| Some(l.split_once(ATTACHED)?.1)).peekable();
    if attached.peek().is_none() {
        return;
    }
    let attached: Vec<u32> =
        attached.filter_map(|l| l.split_whitespace().next()?.parse().ok()).collect();
    let pid = |r: &Record| match r {
        Record::Call(c) => c.pid,
        Record::Signal { pid, .. } | Record::Exit { pid, .. } => *pid,
    };
    let first = records.iter().map(pid).find(|p| *p != 0 && !attached.contains(p));
    let Some(first) = first else { return };
    for r in records {
        let pid = match r {
            Record::Call(c) => &mut c.pid,
            Record::Signal { pid, .. } | Record::Exit { pid, .. } => pid,
        };
        if *pid == 0 {
            *pid = first;
        }
    }
}

/// Times of day (-tt) start anew at midnight.
fn after_midnight(records: &mut [Record]) {
    const DAY_NS: u64 = 86_400_000_000_000;
    let (mut last, mut add) = (0, 0);
    for r in records {
        let time = match r {
            Record::Call(c) => &mut c.entry_ns,
            Record::Signal { time_ns, .. } | Record::Exit { time_ns, .. } => time_ns,
        };
        if *time >= DAY_NS {
            return;
        }
        if *time + DAY_NS / 2 < last {
            add += DAY_NS;
        }
        last = *time;
        *time += add;
    }
}

/// Without -T nothing says how long a call took: it was over before its thread's next one.
fn returns(records: &mut [Record]) {
    let mut next: BTreeMap<u32, u64> = BTreeMap::new();
    for r in records.iter_mut().rev() {
        let (pid, time) = match r {
            Record::Call(c) => {
                let returned = !matches!(c.outcome, Outcome::Unfinished);
                if let (None, true, Some(after)) = (c.duration_ns, returned, next.get(&c.pid)) {
                    c.duration_ns = Some(after.saturating_sub(c.entry_ns));
                }
                (c.pid, c.entry_ns)
            }
            Record::Signal { pid, time_ns, .. } | Record::Exit { pid, time_ns } => (*pid, *time_ns),
        };
        next.insert(pid, time);
    }
}

struct LineError {
    at: usize,
    message: String,
}

fn err(at: usize, message: &str) -> LineError {
    LineError { at, message: message.to_owned() }
}

fn parse_line(
    line: &str,
    number: usize,
    pending: &mut BTreeMap<u32, Pending>,
) -> Result<Option<Record>, LineError> {
    let (pid, time_ns, body_at) = parse_prefix(line)?;
    let body = &line[body_at..];
    if body.starts_with("+++ ") {
        return Ok(Some(Record::Exit { pid, time_ns }));
    }
    if let Some(sig) = body.strip_prefix("--- ") {
        let name = sig.split_whitespace().next().unwrap_or_default().to_owned();
        return Ok(Some(Record::Signal { pid, time_ns, name }));
    }
    if let Some(rest) = body.strip_prefix("<... ") {
        let Some((call, tail)) = rest.split_once(" resumed>") else {
            return Err(err(body_at, "a resumed call without a name"));
        };
        let Some(p) = pending.remove(&pid) else {
            return Err(err(body_at, "this call is resumed but was never begun"));
        };
        if !p.text.starts_with(call) {
            return Err(err(body_at, "another call of this thread is unfinished"));
        }
        let whole = format!("{}{}", p.text, tail);
        let mut record = finish(pid, p.entry_ns, p.line, &whole)
            .map_err(|e| LineError { at: body_at, message: e.message })?;
        if let Record::Call(c) = &mut record {
            // Without -T the two lines say how long it took.
            c.duration_ns = c.duration_ns.or(Some(time_ns.saturating_sub(p.entry_ns)));
        }
        return Ok(Some(record));
    }
    if let Some(head) = body.strip_suffix("<unfinished ...>") {
        let text = head.trim_end().to_owned();
        // A thread that execs leaves its last call for good.
        pending.insert(pid, Pending { entry_ns: time_ns, line: number, text });
        return Ok(None);
    }
    let record = finish(pid, time_ns, number, body)
        .map_err(|e| LineError { at: body_at + e.at, message: e.message })?;
    Ok(Some(record))
}

/// The thread (0 where strace ran without -f), the time and where the call begins.
fn parse_prefix(line: &str) -> Result<(u32, u64, usize), LineError> {
    let mut at = 0;
    let mut pid = 0;
    if let Some(rest) = line.strip_prefix("[pid") {
        let Some(end) = rest.find(']') else {
            return Err(err(0, "[pid without ]"));
        };
        pid = rest[..end].trim().parse().map_err(|_| err(0, "not a process number"))?;
        at = 4 + end + 1;
    }
    let mut words = Vec::new();
    while words.len() < 2 {
        at += line[at..].len() - line[at..].trim_start_matches([' ', '\t']).len();
        let end = line[at..].find([' ', '\t']).map_or(line.len(), |n| at + n);
        let word = &line[at..end];
        if let Some(ns) = parse_time(word) {
            words.push(ns);
            at = end;
            break;
        }
        if words.is_empty() && pid == 0 && word.bytes().all(|b| b.is_ascii_digit()) {
            pid = word.parse().map_err(|_| err(at, "not a process number"))?;
            at = end;
            continue;
        }
        return Err(err(at, "a time stamp was expected (strace -ttt)"));
    }
    let Some(&time) = words.first() else {
        return Err(err(at.min(line.len()), "a time stamp was expected (strace -ttt)"));
    };
    at += line[at..].len() - line[at..].trim_start_matches([' ', '\t']).len();
    Ok((pid, time, at))
}

/// `1795560062.655109` or, of -tt, `22:41:02.655109`; nanoseconds.
fn parse_time(word: &str) -> Option<u64> {
    let (whole, frac) = word.split_once('.')?;
    let seconds = if whole.contains(':') {
        let mut total: u64 = 0;
        for part in whole.split(':') {
            total = total.checked_mul(60)?.checked_add(part.parse().ok()?)?;
        }
        total
    } else {
        whole.parse().ok()?
    };
    let ns: u64 = seconds.checked_mul(1_000_000_000)?.checked_add(fraction_ns(frac)?)?;
    // A century away, so that times can be added to.
    (ns < 1 << 62).then_some(ns)
}

fn fraction_ns(frac: &str) -> Option<u64> {
    if frac.is_empty() || frac.len() > 9 || !frac.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(frac.parse::<u64>().ok()? * 10u64.pow(9 - frac.len() as u32))
}

/// `name(args`, as far as it goes.
fn start_of_call(text: &str) -> Option<(String, Vec<Value>)> {
    let (name, rest) = text.split_once('(')?;
    let mut cursor = Cursor::new(rest);
    let mut args = Vec::new();
    while let Ok(v) = cursor.value(0) {
        args.push(v);
        cursor.spaces();
        if !cursor.eat(b',') {
            break;
        }
    }
    Some((name.to_owned(), args))
}

/// `name(args) = result`.
fn finish(pid: u32, entry_ns: u64, line: usize, text: &str) -> Result<Record, LineError> {
    let Some(open) = text.find('(') else {
        return Err(err(0, "a call was expected"));
    };
    let name = &text[..open];
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(err(0, "a call was expected"));
    }
    let mut cursor = Cursor::new(&text[open + 1..]);
    let args = cursor
        .list(b')', 0)
        .map_err(|bad| LineError { at: open + 1 + bad.at, message: bad.what.to_owned() })?;
    let after = open + 1 + cursor.pos;
    let rest = text[after..].trim_start();
    let Some(rest) = rest.strip_prefix('=') else {
        return Err(err(after, "`= result` was expected"));
    };
    let (outcome, remark, duration_ns) =
        parse_result(rest.trim()).ok_or_else(|| err(after, "the result cannot be read"))?;
    Ok(Record::Call(TracedCall {
        pid,
        entry_ns,
        duration_ns,
        line,
        name: name.to_owned(),
        args,
        outcome,
        remark,
    }))
}

fn parse_result(text: &str) -> Option<(Outcome, Option<String>, Option<u64>)> {
    let (text, duration) = match text.rsplit_once('<') {
        Some((head, tail)) if tail.ends_with('>') => {
            let (s, f) = tail.strip_suffix('>')?.split_once('.')?;
            let ns = s.parse::<u64>().ok()?.checked_mul(1_000_000_000)?;
            (head.trim_end(), Some(ns.checked_add(fraction_ns(f)?)?))
        }
        _ => (text, None),
    };
    let (head, remark) = match text.split_once('(') {
        Some((h, r)) => (h.trim_end(), Some(r.strip_suffix(')').unwrap_or(r).to_owned())),
        None => (text, None),
    };
    let mut words = head.split_whitespace();
    let value = words.next()?;
    let outcome = match (value, words.next()) {
        ("?", Some(why)) => Outcome::Restart(why.to_owned()),
        ("?", None) => Outcome::Ret(0),
        ("-1", Some(errno)) => Outcome::Err(errno.to_owned()),
        (v, _) => {
            let digits = v.split('<').next()?;
            Outcome::Ret(parse_int(digits)?)
        }
    };
    Some((outcome, remark, duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(text: &str) -> Vec<TracedCall> {
        parse_strace("t", text)
            .unwrap()
            .into_iter()
            .filter_map(|r| match r {
                Record::Call(c) => Some(c),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn results_of_every_form() {
        let c = calls(
            "7 1.000001 poll([{fd=5, events=POLLIN}], 1, 5) = 1 ([{fd=5, revents=POLLIN}]) <0.000010>\n\
             7 1.000002 fcntl(5, F_GETFL)  = 0x802 (flags O_RDWR|O_NONBLOCK) <0.000002>\n\
             7 1.000003 recvfrom(3, 0x402da960, 16384, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable) <0.000035>\n\
             7 1.000004 poll([{fd=3, events=POLLIN}], 1, 500) = ? ERESTART_RESTARTBLOCK (Interrupted by signal) <0.469470>\n\
             7 1.000005 exit_group(0)   = ?\n",
        );
        assert_eq!(c[0].remark.as_deref(), Some("[{fd=5, revents=POLLIN}]"));
        assert_eq!((c[1].outcome.clone(), c[1].duration_ns), (Outcome::Ret(0x802), Some(2000)));
        assert_eq!(c[2].outcome, Outcome::Err("EAGAIN".into()));
        assert!(matches!(c[3].outcome, Outcome::Restart(_)));
        assert_eq!(c[0].entry_ns, 1_000_001_000);
    }

    #[test]
    fn unfinished_calls_are_joined_in_order_of_entry() {
        let c = calls(
            "7 1.0 recvfrom(4,  <unfinished ...>\n8 2.0 close(5)        = 0 <0.000001>\n\
             7 3.0 <... recvfrom resumed>\"ab\", 8192, 0, NULL, NULL) = 2 <2.000000>\n9 4.0 read(3,  <unfinished ...>\n",
        );
        assert_eq!((c[0].name.as_str(), c[0].args.len(), c[0].line), ("recvfrom", 6, 1));
        assert_eq!(c[0].outcome, Outcome::Ret(2));
        assert_eq!((c[2].args.len(), &c[2].outcome), (1, &Outcome::Unfinished));
    }

    #[test]
    fn a_bad_line_is_pointed_at() {
        let text = "7 1.0 close(5) = 0 <0.000001>\n7 2.0 close(5 = 0\n";
        let Err(StraceError::Line { message, span, .. }) = parse_strace("t.strace", text) else {
            panic!("accepted");
        };
        assert!(message.starts_with("t.strace:2:"), "{message}");
        assert!(span.offset() > text.find('\n').unwrap());
        for n in 0..text.len() {
            let _ = parse_strace("t", &text[..n]);
        }
    }
}
