use super::*;

/// Inputs that are the same in every run.
fn inputs(count: usize, max_len: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 16
    };
    (0..count).map(move |_| {
        let len = next() % max_len;
        (0..len).map(|_| next() as u8).collect()
    })
}

fn run(body: fn(&[u8]), describe: fn(&[u8]) -> String, input: &[u8]) {
    if let Err(finding) = std::panic::catch_unwind(|| body(input)) {
        println!("{}", describe(input));
        std::panic::resume_unwind(finding);
    }
}

#[test]
fn pieces_in_any_order() {
    for input in inputs(3000, 40) {
        run(print_pieces, describe_pieces, &input);
    }
}

/// Events that begin as they should, so that more of them get far.
#[test]
fn pieces_after_good_starts() {
    let starts: Vec<u8> = ["\n0 ", "\n+0 ", "\n1~2.5 > ", "\n* > ", "\n+0 > ", "\n+0 < "]
        .map(|s| input_of(s)[0])
        .into();
    for input in inputs(6000, 12) {
        let events = input.chunks(4).zip(starts.iter().cycle().skip(input.len()));
        let input: Vec<u8> = events.flat_map(|(c, start)| [&[*start], c].concat()).collect();
        run(print_pieces, describe_pieces, &input);
    }
}

#[test]
fn any_text() {
    for input in inputs(2000, 80) {
        run(parse_text, super::super::parsers::describe, &input);
        let ascii: Vec<u8> = input.iter().map(|b| b % 96 + 32).collect();
        run(parse_text, super::super::parsers::describe, &ascii);
    }
}

/// The scripts of the seeds, cut at each place and with each byte changed.
#[test]
fn seeds_cut_and_changed() {
    for (_, seed) in text_seeds() {
        for n in 0..seed.len() {
            parse_text(&seed[..n]);
            let mut changed = seed.clone();
            changed[n] ^= 1 << (n % 7);
            parse_text(&changed);
        }
    }
}

#[test]
fn seeds_are_what_they_should_be() {
    for (name, seed) in text_seeds() {
        let text = String::from_utf8(seed).expect("text");
        assert!(parse(&Source::new(name, &text), &Defines::new()).is_ok(), "{name}");
        parse_text(text.as_bytes());
    }
    for (name, seed) in piece_seeds() {
        let read = parse(&Source::new(name, &script_of(&seed)), &Defines::new());
        assert!(read.is_ok(), "{name}: {}\n{}", read.unwrap_err().one_line(), script_of(&seed));
    }
}
