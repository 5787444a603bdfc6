//! A call tree as boxes and arrows.

use reference_stack::trace::Node;

/// Functions at which the study begins a drawing of its own: a tree that reaches from a system
/// call to the hardware is too wide for one.
const CUTS: &[&str] = &[
    "tcp_v4_connect",
    "sock_write_iter",
    "sock_read_iter",
    "tcp_sendmsg",
    "tcp_recvmsg",
    "ip_queue_xmit",
    "dev_queue_xmit",
    "ftgmac100_hard_start_xmit",
    "ftgmac100_interrupt",
    "ip_rcv",
    "tcp_v4_rcv",
];

/// Draws a tree, a line a line, without trailing blanks, in several drawings where the study has
/// several: the function at the seam says `(below)` in the upper one. `whole` draws it in one.
///
/// ```text
/// +------------+
/// | sys_socket |
/// +--|---------+
///    |    +--------------+
///    +--> | __sys_socket |
///         +--------------+
/// ```
pub(super) fn tree(root: &Node, whole: bool) -> String {
    let cuts = if whole { &[] } else { CUTS };
    let mut pen = Pen { text: String::new(), cuts, later: vec![root] };
    let mut drawn = 0;
    while let Some(&next) = pen.later.get(drawn) {
        if drawn > 0 {
            pen.text.push('\n');
        }
        drawn += 1;
        pen.node(next, 1, &Margins::default(), true);
    }
    pen.text
}

struct Pen<'a> {
    text: String,
    cuts: &'static [&'static str],
    /// Trees with a drawing of their own, in the order of their drawings; equal ones once.
    later: Vec<&'a Node>,
}

/// What stands left of a box.
#[derive(Default)]
struct Margins {
    /// Before its upper edge.
    first: String,
    /// Before its name.
    arrow: String,
    /// Before everything below.
    rest: String,
}

impl<'a> Pen<'a> {
    fn node(&mut self, node: &'a Node, times: usize, left: &Margins, root: bool) {
        let cut = !root && !node.calls.is_empty() && self.cuts.contains(&node.name);
        if cut && !self.later.contains(&node) {
            self.later.push(node);
        }
        let calls: &[Node] = if cut { &[] } else { &node.calls };
        let width = node.name.len() + 2;
        let edge = "-".repeat(width);
        let lower = if calls.is_empty() {
            edge.clone()
        } else {
            format!("--|{}", "-".repeat(width.saturating_sub(3)))
        };
        let times = if times > 1 { format!(" x {times}") } else { String::new() };
        let below = if cut { " (below)" } else { "" };
        self.line(&format!("{}+{edge}+", left.first));
        self.line(&format!("{}| {} |{times}{below}", left.arrow, node.name));
        self.line(&format!("{}+{lower}+", left.rest));
        let groups = runs(calls);
        for (n, (call, times)) in groups.iter().enumerate() {
            let last = n + 1 == groups.len();
            let (head, beside) = if last { ("+-->", "    ") } else { ("|-->", "|   ") };
            let rest = &left.rest;
            let margins = Margins {
                first: format!("{rest}   |    "),
                arrow: format!("{rest}   {head} "),
                rest: format!("{rest}   {beside} "),
            };
            self.node(call, *times, &margins, false);
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

/// Equal neighbours as one with their number.
fn runs(calls: &[Node]) -> Vec<(&Node, usize)> {
    let mut runs: Vec<(&Node, usize)> = Vec::new();
    for call in calls {
        match runs.last_mut() {
            Some((same, times)) if *same == call => *times += 1,
            _ => runs.push((call, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(name: &'static str) -> Node {
        Node { name, calls: Vec::new() }
    }

    #[test]
    fn a_tree_is_drawn_as_the_study_case_does() {
        let root = Node {
            name: "sys_socket",
            calls: vec![Node {
                name: "__sys_socket",
                calls: vec![
                    Node { name: "sock_create", calls: vec![leaf("f"), leaf("f"), leaf("inet")] },
                    leaf("sock_map_fd"),
                ],
            }],
        };
        let expected = "\
+------------+
| sys_socket |
+--|---------+
   |    +--------------+
   +--> | __sys_socket |
        +--|-----------+
           |    +-------------+
           |--> | sock_create |
           |    +--|----------+
           |       |    +---+
           |       |--> | f | x 2
           |       |    +---+
           |       |    +------+
           |       +--> | inet |
           |            +------+
           |    +-------------+
           +--> | sock_map_fd |
                +-------------+
";
        assert_eq!(tree(&root, false), expected);
    }

    #[test]
    fn a_layer_has_a_drawing_of_its_own() {
        let ip = Node { name: "ip_queue_xmit", calls: vec![leaf("ip_output")] };
        let root = Node { name: "tcp", calls: vec![ip.clone(), ip] };
        let expected = "\
+-----+
| tcp |
+--|--+
   |    +---------------+
   +--> | ip_queue_xmit | x 2 (below)
        +---------------+

+---------------+
| ip_queue_xmit |
+--|------------+
   |    +-----------+
   +--> | ip_output |
        +-----------+
";
        assert_eq!(tree(&root, false), expected);
        assert!(!tree(&root, true).contains("below"));
    }
}
