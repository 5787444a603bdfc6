//! The programs and built-in commands that the shell can call.

use super::expand::Pattern;
use super::{CommandError, MAX_FILE, Shell, Streams, ip, link};
use crate::target::{Admin, Refusal, Target};

/// The longest sleep, in nanoseconds.
const MAX_SLEEP_NS: i64 = 3_600_000_000_000;

type Outcome = Result<i32, CommandError>;

impl Shell {
    /// Runs a program. Its status is that of the shell.
    pub(super) fn program(
        &mut self,
        target: &mut dyn Target,
        name: &str,
        args: &[&str],
        streams: &mut Streams,
        depth: u32,
    ) -> Outcome {
        let program = name.rsplit('/').next().unwrap_or(name);
        match program {
            "sysctl" => sysctl(target, args, &mut streams.output),
            "ip" => ip::run(target, args, &mut self.notes),
            "tc" => link::tc(target, args),
            "ethtool" => link::ethtool(target, args),
            "nstat" => self.nstat(target, args, &mut streams.output),
            "sleep" => sleep(target, args),
            "echo" => echo(args, &mut streams.output),
            "cat" => self.cat(target, args, streams),
            "grep" | "fgrep" => self.grep(target, program, args, streams),
            "head" | "tail" => self.head_or_tail(target, program, args, streams),
            "wc" => wc(args, streams),
            "awk" => awk(args, streams),
            "dd" => self.dd(target, args),
            "rm" => self.rm(target, args),
            "test" => test(args),
            "[" => match args.split_last() {
                Some((&"]", args)) => test(args),
                _ => Err(CommandError::invalid("`[` needs a `]` at its end")),
            },
            "true" | ":" | "sync" | "export" | "chmod" => Ok(0),
            "false" => Ok(1),
            "set_sysctls.py" => self.set_sysctls(target, args),
            _ if program.starts_with("sysctl_restore_") => self.restore_sysctls(target),
            "sh" | "bash" | "." | "source" => self.sh(target, args, streams, depth),
            _ if program.ends_with(".sh") => self.source(target, name, streams, depth),
            _ => {
                Err(CommandError::unsupported(format!("the command `{program}` is not supported")))
            }
        }
    }

    /// `sh FILE`, `sh -c COMMANDS`, `. FILE`.
    fn sh(
        &mut self,
        target: &mut dyn Target,
        args: &[&str],
        streams: &mut Streams,
        depth: u32,
    ) -> Outcome {
        match args {
            ["-c", commands] => {
                let (input, mut output) = (std::mem::take(&mut streams.input), String::new());
                let status = self.text(target, commands, &input, &mut output, depth + 1);
                streams.output.push_str(&output);
                status
            }
            [file] if !file.starts_with('-') => self.source(target, file, streams, depth),
            _ => Err(not_supported("sh", args)),
        }
    }

    /// Upstream's helper: sets sysctls by file and remembers what was there.
    fn set_sysctls(&mut self, target: &mut dyn Target, args: &[&str]) -> Outcome {
        for arg in args {
            let Some((path, value)) = arg.split_once('=') else {
                let message = format!("set_sysctls.py takes FILE=VALUE, not `{arg}`");
                return Err(CommandError::invalid(message));
            };
            let before = target.sysctl(path)?;
            self.saved.push((path.to_string(), before));
            target.set_sysctl(path, value)?;
        }
        Ok(0)
    }

    /// The file that [`Shell::set_sysctls`] leaves behind upstream.
    fn restore_sysctls(&mut self, target: &mut dyn Target) -> Outcome {
        for (path, value) in std::mem::take(&mut self.saved).into_iter().rev() {
            target.set_sysctl(&path, &value)?;
        }
        Ok(0)
    }

    /// The texts of files, or the standard input without any.
    fn inputs(
        &mut self,
        target: &mut dyn Target,
        files: &[&str],
        streams: &mut Streams,
    ) -> Result<Vec<(String, String)>, CommandError> {
        if files.is_empty() {
            return Ok(vec![(String::new(), std::mem::take(&mut streams.input))]);
        }
        files
            .iter()
            .map(|file| match *file {
                "-" => Ok((String::new(), streams.input.clone())),
                file => Ok((file.to_string(), self.read(target, file)?)),
            })
            .collect()
    }

    fn cat(&mut self, target: &mut dyn Target, args: &[&str], streams: &mut Streams) -> Outcome {
        if args.iter().any(|a| a.starts_with('-') && *a != "-") {
            return Err(not_supported("cat", args));
        }
        for (_, text) in self.inputs(target, args, streams)? {
            streams.output.push_str(&text);
        }
        Ok(0)
    }

    fn grep(
        &mut self,
        target: &mut dyn Target,
        program: &str,
        args: &[&str],
        streams: &mut Streams,
    ) -> Outcome {
        let (mut quiet, mut count, mut invert, mut ignore_case) = (false, false, false, false);
        let mut fixed = program == "fgrep";
        let (mut pattern, mut files) = (None, Vec::new());
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            match arg.strip_prefix('-').filter(|flags| !flags.is_empty()) {
                Some("e") => pattern = rest.next().copied(),
                Some(flags) => {
                    for flag in flags.chars() {
                        match flag {
                            'q' => quiet = true,
                            'c' => count = true,
                            'v' => invert = true,
                            'i' => ignore_case = true,
                            'F' => fixed = true,
                            's' | 'h' | 'a' => {}
                            _ => return Err(not_supported("grep", args)),
                        }
                    }
                }
                None if pattern.is_none() => pattern = Some(*arg),
                None => files.push(*arg),
            }
        }
        let pattern = pattern.ok_or_else(|| CommandError::invalid("grep needs a pattern"))?;
        let pattern =
            Pattern::new(pattern, fixed, ignore_case).map_err(CommandError::unsupported)?;
        let named = files.len() > 1 && !args.contains(&"-h");
        let mut any = false;
        for (file, text) in self.inputs(target, &files, streams)? {
            let found: Vec<&str> =
                text.lines().filter(|line| pattern.matches(line) != invert).collect();
            any |= !found.is_empty();
            let prefix = if named { format!("{file}:") } else { String::new() };
            if count && !quiet {
                streams.output.push_str(&format!("{prefix}{}\n", found.len()));
            } else if !quiet {
                found.iter().for_each(|l| streams.output.push_str(&format!("{prefix}{l}\n")));
            }
        }
        Ok(i32::from(!any))
    }

    fn head_or_tail(
        &mut self,
        target: &mut dyn Target,
        program: &str,
        args: &[&str],
        streams: &mut Streams,
    ) -> Outcome {
        let (count, files) = match args {
            ["-n", n, files @ ..] => (*n, files),
            [n, files @ ..] if n.starts_with('-') => (n.trim_start_matches(['-', 'n']), files),
            files => ("10", files),
        };
        let count: usize = count.parse().map_err(|_| not_supported(program, args))?;
        for (_, text) in self.inputs(target, files, streams)? {
            let lines: Vec<&str> = text.lines().collect();
            let from = if program == "tail" { lines.len().saturating_sub(count) } else { 0 };
            lines.iter().skip(from).take(count).for_each(|line| {
                streams.output.push_str(line);
                streams.output.push('\n');
            });
        }
        Ok(0)
    }

    /// `dd if=/dev/zero of=FILE bs=N count=N`: a file of zeros.
    fn dd(&mut self, target: &mut dyn Target, args: &[&str]) -> Outcome {
        let (mut bytes, mut count, mut from, mut to) = (512, 1, "", "");
        for arg in args {
            let number = |text: &str| {
                let (digits, scale) = match text.strip_suffix(['k', 'K']) {
                    Some(digits) => (digits, 1024),
                    None => (text, 1),
                };
                let n = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(scale));
                n.filter(|n| *n <= MAX_FILE).ok_or_else(|| not_supported("dd", args))
            };
            match arg.split_once('=') {
                Some(("if", file)) => from = file,
                Some(("of", file)) => to = file,
                Some(("bs", n)) => bytes = number(n)?,
                Some(("count", n)) => count = number(n)?,
                Some(("status", _)) => {}
                _ => return Err(not_supported("dd", args)),
            }
        }
        let total = bytes.saturating_mul(count);
        match (from, to) {
            ("/dev/zero", "/dev/null") => Ok(0),
            ("/dev/zero", file) if file.starts_with("/tmp/") && total <= MAX_FILE => {
                self.store(target, file, vec![0; total])?;
                Ok(0)
            }
            _ => Err(not_supported("dd", args)),
        }
    }

    fn rm(&mut self, target: &mut dyn Target, args: &[&str]) -> Outcome {
        let (flags, files): (Vec<&str>, Vec<&str>) = args.iter().partition(|a| a.starts_with('-'));
        if flags.iter().any(|f| !matches!(*f, "-f" | "-r" | "-rf" | "-fr")) {
            return Err(not_supported("rm", args));
        }
        let force = flags.iter().any(|f| f.contains('f'));
        let mut status = 0;
        for file in files {
            if self.files.remove(file).is_some() {
                target.administrate(&Admin::RemoveFile(file.to_string()))?;
            } else if !force {
                status = 1;
            }
        }
        Ok(status)
    }
}

/// `NAME ARGS` is not one of the forms that are known.
pub(super) fn not_supported(name: &str, args: &[&str]) -> CommandError {
    CommandError::unsupported(format!("`{name} {}` is not supported", args.join(" ")))
}

fn sysctl(target: &mut dyn Target, args: &[&str], output: &mut String) -> Outcome {
    let (mut quiet, mut bare, mut ignore_unknown, mut write) = (false, false, false, false);
    let mut names = Vec::new();
    for arg in args {
        match arg.strip_prefix('-') {
            None => names.push(*arg),
            Some(flags) if !flags.is_empty() && !flags.starts_with('-') => {
                for flag in flags.chars() {
                    match flag {
                        'q' => quiet = true,
                        'n' => bare = true,
                        'e' => ignore_unknown = true,
                        'w' => write = true,
                        _ => return Err(not_supported("sysctl", args)),
                    }
                }
            }
            Some(_) => return Err(not_supported("sysctl", args)),
        }
    }
    for name in names {
        let shown = match name.split_once('=') {
            Some((name, value)) => {
                target.set_sysctl(name.trim(), value.trim()).map(|()| (name, value.to_string()))
            }
            None if write => {
                return Err(CommandError::invalid(format!("`sysctl -w {name}` needs a value")));
            }
            None => target.sysctl(name).map(|value| (name, value)),
        };
        match shown {
            Ok((_, value)) if bare => output.push_str(&format!("{value}\n")),
            Ok((name, value)) if !quiet => {
                output.push_str(&format!("{} = {value}\n", name.trim().replace('/', ".")));
            }
            Ok(_) => {}
            Err(Refusal::Invalid(_)) if ignore_unknown => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Ok(0)
}

fn echo(args: &[&str], output: &mut String) -> Outcome {
    match args {
        ["-n", rest @ ..] => output.push_str(&rest.join(" ")),
        ["-e" | "-ne", ..] => return Err(not_supported("echo", args)),
        all => output.push_str(&format!("{}\n", all.join(" "))),
    }
    Ok(0)
}

fn wc(args: &[&str], streams: &mut Streams) -> Outcome {
    let count = match args {
        ["-l"] => streams.input.matches('\n').count(),
        ["-c"] => streams.input.len(),
        ["-w"] => streams.input.split_whitespace().count(),
        _ => return Err(not_supported("wc", args)),
    };
    streams.output.push_str(&format!("{count}\n"));
    Ok(0)
}

/// `awk '{print $N}'`, with several columns separated by commas.
fn awk(args: &[&str], streams: &mut Streams) -> Outcome {
    let refused = || not_supported("awk", args);
    let [program] = args else { return Err(refused()) };
    let body = program.trim().strip_prefix('{').and_then(|p| p.strip_suffix('}'));
    let columns = body.and_then(|b| b.trim().strip_prefix("print")).ok_or_else(refused)?;
    let columns: Option<Vec<usize>> = columns
        .split(',')
        .map(|c| c.trim().strip_prefix('$').and_then(|n| n.parse().ok()))
        .collect();
    let columns = columns.ok_or_else(refused)?;
    for line in streams.input.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let column = |n: &usize| match n {
            0 => line,
            n => words.get(n - 1).copied().unwrap_or_default(),
        };
        let shown: Vec<&str> = columns.iter().map(column).collect();
        streams.output.push_str(&format!("{}\n", shown.join(" ")));
    }
    Ok(0)
}

/// `test` of strings and integers.
fn test(args: &[&str]) -> Outcome {
    let holds = match args {
        [] => false,
        ["!", rest @ ..] => return Ok(i32::from(test(rest)? == 0)),
        ["-n", text] | [text] => !text.is_empty(),
        ["-z", text] => text.is_empty(),
        [a, "=" | "==", b] => a == b,
        [a, "!=", b] => a != b,
        [a, operator, b] => {
            let number = |text: &str| {
                let parsed = text.trim().parse::<i64>();
                parsed.map_err(|_| CommandError::invalid(format!("`{text}` is no integer")))
            };
            let (a, b) = (number(a)?, number(b)?);
            match *operator {
                "-eq" => a == b,
                "-ne" => a != b,
                "-lt" => a < b,
                "-le" => a <= b,
                "-gt" => a > b,
                "-ge" => a >= b,
                _ => return Err(not_supported("test", args)),
            }
        }
        _ => return Err(not_supported("test", args)),
    };
    Ok(i32::from(!holds))
}

fn sleep(target: &mut dyn Target, args: &[&str]) -> Outcome {
    let [time] = args else {
        return Err(CommandError::invalid("sleep takes one time in seconds"));
    };
    let time = time.strip_suffix('s').unwrap_or(time);
    let ns = crate::script::seconds_to_ns(time).filter(|ns| *ns <= MAX_SLEEP_NS);
    let Some(ns) = ns else {
        return Err(CommandError::invalid(format!("`{time}` is no time to sleep")));
    };
    let until = target.now() + ns as u64;
    while target.now() < until {
        target.advance(until);
    }
    Ok(0)
}
