use super::*;
use crate::script::Source;

fn run(env: &mut Env, text: &str) -> Result<(), CodeError> {
    let source = Source::new("t", text);
    let program = parse(&source, 0, text).map_err(|e| CodeError {
        span: Span::default(),
        failure: Failure::Error(format!("parse: {}", e.message())),
    })?;
    env.run(&program)
}

fn env() -> Env {
    let mut env = Env::default();
    for (name, value) in [
        ("tcpi_snd_cwnd", 10),
        ("tcpi_rtt", 12_000),
        ("tcpi_options", 0x27),
        ("TCPI_OPT_SYN_DATA", 32),
    ] {
        env.set(name, value);
    }
    env
}

/// Blocks as upstream's scripts have them, and the edges of what is supported.
const HOLDS: &[&str] = &[
    " assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd ",
    "assert (tcpi_options & TCPI_OPT_SYN_DATA) != 0, tcpi_options",
    "\nassert 5000 <= tcpi_rtt <= 20000, 'srtt=%d us' % tcpi_rtt\n",
    "cwnd = 9; cwnd += 1; print(tcpi_snd_cwnd); assert tcpi_snd_cwnd == cwnd, tcpi_snd_cwnd",
    "assert tcpi_rtt == 12000, tcpi_rtt; \\\n   assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd",
    "assert tcpi_rtt == 0x2_ee0 # a comment\n# another",
    "\nfor i in range(3):\n  print(i)\n  for j in [1, 2]: print(j)\nassert i == 2 and j == 2",
    "if tcpi_rtt > 5:\n    x = 1\nelif False:\n    x = 2\nelse:\n    x = 3\nassert x == 1",
    "assert min(3, 2) + max([1, 5]) == 7 and len('abc') == 3 and sum([1, 2]) == 3",
    "assert -7 // 2 == -4 and -7 % 2 == 1 and 1 << 4 == 16 and ~0 == -1 and 6 ^ 3 == 5",
    "assert '%s %05d %x %-3d|' % ('a', 42, 255, 7) == 'a 00042 ff 7  |'",
    "assert 3 in (1, 2, 3) and 'b' in 'abc' and 4 not in [1] and not False",
    "assert (1 if True else 2) == 1 and (0 or 5) == 5",
    "i = 0\nwhile True:\n  i += 1\n  if i % 2: continue\n  if i > 6: break\nassert i == 8",
    "def twice(n):\n  return n * 2\nassert twice(twice(3)) == 12",
    "def near(a, b):\n  d = a - b\n  if d < 0: d = -d\n  return d <= 2\nassert near(10, 12) and not near(1, 9)",
    "x = 1\ndef f():\n  x = 5\n  return x\nassert f() == 5 and x == 1 and f() is not None",
    "def fact(n):\n  return 1 if n < 2 else n * fact(n - 1)\nassert fact(10) == 3628800",
    "def none(): pass\nassert none() is None",
    "assert 2 ** 10 == 1024 and -2 ** 2 == -4 and 2 ** 3 ** 2 == 512",
    "a = [1, 2, [3, 4]]\nassert a[0] == 1 and a[-1][1] == 4 and 'abc'[1] == 'b'",
    "assert '{0} {1:x} {0:>4d}|'.format(10, 255) == '10 ff   10|' and '{{}}'.format() == '{}'",
    "assert f'rtt={tcpi_rtt:d} {tcpi_snd_cwnd + 1:04d} {\"x\":<3}|' == 'rtt=12000 0011 x  |'",
    "assert '%05d %x' % (-42, -255) == '-0042 -ff' and '{:05d}'.format(-42) == '-0042'",
    "s = ''\nfor c in 'abc':\n  s = c + s\nassert s == 'cba'",
];

#[test]
fn assertions_hold() {
    for text in HOLDS {
        assert_eq!(run(&mut env(), text), Ok(()), "{text}");
    }
}

#[test]
fn names_live_from_block_to_block() {
    let mut env = env();
    assert_eq!(run(&mut env, "cwnd = 10"), Ok(()));
    assert_eq!(run(&mut env, "cwnd += 1; assert cwnd == 11"), Ok(()));
    assert_eq!(run(&mut env, "print(cwnd, 'x')"), Ok(()));
    assert_eq!(env.printed(), ["11 x"]);
}

#[test]
fn a_failed_assertion_tells_its_values() {
    let text = "assert tcpi_snd_cwnd == 11, 'cwnd=%d' % tcpi_snd_cwnd";
    let error = run(&mut env(), text).expect_err("does not hold");
    let values = vec![("tcpi_snd_cwnd".to_string(), "10".to_string())];
    assert_eq!(error.failure, Failure::Assert { message: Some("cwnd=10".into()), values });
    assert_eq!((error.span.start, error.span.end as usize), (0, text.len()));
}

#[test]
fn what_is_not_supported_says_so() {
    let cases = [
        ("import os", "`import` is not supported"),
        ("x = 1.5", "decimal point"),
        ("x = a.b", "`.` is not supported"),
        ("x = 4 / 2", "`/` is not supported"),
        ("while True: pass", "too long"),
        ("return 5", "`return` outside of a function"),
        ("break", "`break` outside of a loop"),
        ("def f(a, a): pass", "twice"),
        ("def f(a=1): pass", "defaults are not supported"),
        ("def f(a): pass\nf()", "takes 1 arguments, not 0"),
        ("def f(n): return f(n)\nf(1)", "calls inside each other"),
        ("x = 1\ndef f():\n  x += 1\nf()", "before it has a value"),
        ("x = [1][1]", "no element"),
        ("x = [1][0:1]", "slices are not supported"),
        ("x = 2 ** -1", "fraction"),
        ("x = 2 ** 500", "too large"),
        ("x = f'{5'", "without `}`"),
        ("x = '{:q}'.format(5)", "format `q` is not supported"),
        ("x = '{a}'.format(5)", "not supported"),
        ("x = '{} {0}'.format(5)", "in all of its braces or in none"),
        ("for i in [1]: pass\nelse: pass", "`else` of a loop"),
        ("open('x')", "`open` is not supported"),
        ("assert nope == 1", "`nope` is not known"),
        ("x = 1 // 0", "division by zero"),
        ("x = 1 << 200", "too large"),
        ("for i in range(10000000): pass", "more than"),
        ("assert 'a' < 1", "no order"),
        ("x = '%d' % 'a'", "`%d` of a string"),
        ("for i in range(60000):\n  for j in range(60000): pass", "too long"),
    ];
    for (text, words) in cases {
        let error = run(&mut env(), text).expect_err(text);
        let Failure::Error(message) = error.failure else { panic!("{text}: an assertion") };
        assert!(message.contains(words), "{text}: {message}");
    }
}
