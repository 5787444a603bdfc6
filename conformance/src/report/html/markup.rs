//! Text with tags. Names of tags and attributes are the program's own; values and text are
//! escaped, whatever they hold.

/// A page under construction.
#[derive(Debug, Default)]
pub(super) struct Markup {
    out: String,
    open: Vec<&'static str>,
}

impl Markup {
    /// Opens a tag.
    pub(super) fn open(&mut self, tag: &'static str, attributes: &[(&'static str, &str)]) {
        self.void(tag, attributes);
        self.open.push(tag);
    }

    /// Closes the tag that was opened last, which is this one.
    pub(super) fn close(&mut self, tag: &'static str) {
        debug_assert_eq!(self.open.last(), Some(&tag));
        self.open.pop();
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push_str(">\n");
    }

    /// A tag without content.
    pub(super) fn void(&mut self, tag: &'static str, attributes: &[(&'static str, &str)]) {
        self.out.push('<');
        self.out.push_str(tag);
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            self.text(value);
            self.out.push('"');
        }
        self.out.push('>');
    }

    /// A tag with text in it.
    pub(super) fn element(
        &mut self,
        tag: &'static str,
        attributes: &[(&'static str, &str)],
        text: &str,
    ) {
        self.open(tag, attributes);
        self.text(text);
        self.close(tag);
    }

    /// Text. What HTML does not allow is shown as what stands for it.
    pub(super) fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&#39;"),
                '\n' | '\t' => self.out.push(c),
                c if c.is_control() => self.out.push(char::REPLACEMENT_CHARACTER),
                c => self.out.push(c),
            }
        }
    }

    /// The program's own style and script.
    pub(super) fn raw(&mut self, text: &'static str) {
        self.out.push_str(text);
    }

    /// The whole.
    pub(super) fn finish(self) -> String {
        debug_assert!(self.open.is_empty(), "{:?} is open", self.open);
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::Markup;

    #[test]
    fn text_and_values_are_escaped() {
        let mut page = Markup::default();
        page.element("p", &[("title", "\"><script>'")], "<b>&\u{0}\u{1b}</b>");
        assert_eq!(
            page.finish(),
            "<p title=\"&quot;&gt;&lt;script&gt;&#39;\">&lt;b&gt;&amp;\u{fffd}\u{fffd}&lt;/b&gt;</p>\n"
        );
    }
}
