use super::*;
use crate::script::ast::{Action, Body, LinkMessage, LinkValue, PatternByte};
use crate::script::{Defines, Source, parse};

fn message(text: &str) -> LinkMessage {
    let text = format!("0 < {text}");
    let script = parse(&Source::new("t", &text), &Defines::new()).expect("parses");
    match &script.events[0].action {
        Action::Packet(packet) => match &packet.body {
            Body::Link(message) => message.clone(),
            _ => panic!("not a message: {text}"),
        },
        _ => panic!("not a packet: {text}"),
    }
}

fn defaults(v6: bool) -> Defaults {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let hardware = LinkAddresses { own: [2, 0, 0, 0, 0, 1], peer: [2, 0, 0, 0, 0, 2] };
    let (local, neighbour) =
        if v6 { ("fd00::1", "fd00::2") } else { ("192.168.0.1", "192.168.0.254") };
    Defaults { hardware, local: ip(local), neighbour: ip(neighbour) }
}

/// Each message with each field written: what is built reads as the same.
#[test]
fn what_is_built_is_read() {
    let texts = [
        "arp request sender_mac=02:00:00:00:00:09 sender=10.0.0.1 target_mac=02:00:00:00:00:08 target=10.0.0.2 \
         src_mac=02:00:00:00:00:07 dst_mac=02:00:00:00:00:06",
        "arp reply sender=10.0.0.1",
        "igmp query group=224.1.2.3 max_resp=7 src=10.0.0.1 dst=224.0.0.1",
        "igmp v1_report group=224.1.2.3",
        "igmp v2_report group=224.1.2.3",
        "igmp v3_report group=224.1.2.3 record=3",
        "igmp leave group=224.1.2.3",
        "ndp router_solicit lladdr=02:00:00:00:00:09 src=fe80::9",
        "ndp router_advert lifetime=9 cur_hop_limit=8 flags=64 mtu=1400 prefix=fd01:: prefix_len=48 lladdr=02:00:00:00:00:09",
        "ndp neighbor_solicit target=fd00::7 src=fd00::8 dst=fd00::9 hop_limit=1",
        "ndp neighbor_advert target=fd00::7 flags=5 lladdr=02:00:00:00:00:09",
        "ndp redirect target=fd00::7 destination=fd00::8 lladdr=02:00:00:00:00:09",
    ];
    for text in texts {
        let written = message(text);
        let (frame, packet) = build(&written, &defaults(text.starts_with("ndp")));
        let read_back = read(&frame, true).expect(text);
        assert_eq!((&read_back.kind, read_back.fault), (&written.kind, None), "{text}");
        for (name, value) in &written.fields {
            assert_eq!(read_back.field(name).map(|f| &f.1), Some(value), "{text}: {name}");
        }
        assert!(is_link_packet(&frame, true), "{text}");
        if let Some(packet) = packet {
            assert_eq!(read(&packet, false), Some(read_back), "{text}");
        }
        for end in 0..frame.len() {
            let _ = (read(&frame[..end], true), is_link_packet(&frame[..end], false));
        }
    }
}

#[test]
fn a_solicitation_goes_to_the_solicited_node() {
    let (frame, _) = build(&message("ndp neighbor_solicit"), &defaults(true));
    assert_eq!(&frame[..6], &[0x33, 0x33, 0xff, 0, 0, 1]);
    let (frame, _) = build(&message("ndp neighbor_solicit src=::"), &defaults(true));
    let asked = read(&frame, true).expect("a solicitation");
    assert_eq!(asked.field("lladdr"), None);
    assert_eq!(asked.field("hop_limit"), Some(&("hop_limit", LinkValue::Number(255))));
}

#[test]
fn patterns_say_where_bytes_differ() {
    let byte = |value, mask| PatternByte { value, mask };
    let closed = Bytes { bytes: vec![byte(0x12, 0xff), byte(0x30, 0xf0)], open: false };
    let open = Bytes { open: true, ..closed.clone() };
    assert_eq!(first_difference(&closed, &[0x12, 0x35]), None);
    assert_eq!(first_difference(&closed, &[0x12, 0x45]), Some(1));
    assert_eq!(first_difference(&closed, &[0x12]), Some(1));
    assert_eq!(first_difference(&closed, &[0x12, 0x35, 0]), Some(2));
    assert_eq!(first_difference(&open, &[0x12, 0x35, 1]), None);
    let mut padded = vec![0; 60];
    padded[..2].copy_from_slice(&[0x12, 0x35]);
    assert_eq!(first_difference(&closed, &padded), None);
    padded[59] = 1;
    assert_eq!(first_difference(&closed, &padded), Some(2));
}
