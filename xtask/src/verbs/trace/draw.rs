//! A call tree as boxes and arrows.

use reference_stack::trace::Node;

/// Draws a tree, a line a line, without trailing blanks.
///
/// ```text
/// +------------+
/// | sys_socket |
/// +--|---------+
///    |    +--------------+
///    +--> | __sys_socket |
///         +--------------+
/// ```
pub(super) fn tree(root: &Node) -> String {
    let mut text = String::new();
    node(&mut text, root, 1, "", "", "");
    text
}

/// Draws `node`: `first` stands before its upper edge, `arrow` before its name, `rest` before
/// every line below.
fn node(text: &mut String, node_: &Node, times: usize, first: &str, arrow: &str, rest: &str) {
    let width = node_.name.len() + 2;
    let edge = "-".repeat(width);
    let lower = if node_.calls.is_empty() {
        edge.clone()
    } else {
        format!("--|{}", "-".repeat(width.saturating_sub(3)))
    };
    let note = if times > 1 { format!(" x {times}") } else { String::new() };
    line(text, &format!("{first}+{edge}+"));
    line(text, &format!("{arrow}| {} |{note}", node_.name));
    line(text, &format!("{rest}+{lower}+"));
    let groups = runs(&node_.calls);
    for (n, (call, times)) in groups.iter().enumerate() {
        let last = n + 1 == groups.len();
        let (head, below) = if last { ("+-->", "    ") } else { ("|-->", "|   ") };
        node(
            text,
            call,
            *times,
            &format!("{rest}   |    "),
            &format!("{rest}   {head} "),
            &format!("{rest}   {below} "),
        );
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
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
        assert_eq!(tree(&root), expected);
    }
}
