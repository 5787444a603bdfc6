//! A plot: a frame with two axes, and what is drawn into it.

use super::markup::Markup;

/// Size of the whole, and what its axes leave of it.
const WIDTH: f64 = 1160.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 1140.0;
const TOP: f64 = 10.0;
const BELOW: f64 = 26.0;

/// Values from and to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Range {
    /// The range of these values, wider than a point.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Range {
        let (mut from, mut to) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            (from, to) = (from.min(value), to.max(value));
        }
        if from > to {
            (from, to) = (0.0, 1.0);
        }
        if to - from < 1e-9 {
            to = from + 1.0;
        }
        Range { from, to }
    }

    /// Round values to mark, about `count` of them.
    fn ticks(self, count: f64) -> Vec<f64> {
        let rough = (self.to - self.from) / count;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough);
        let step = step.unwrap_or(rough).max(1e-9);
        let first = (self.from / step).ceil() as i64;
        let last = (self.to / step).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }
}

/// A plot under construction.
pub(super) struct Plot<'a> {
    page: &'a mut Markup,
    x: Range,
    y: Range,
    height: f64,
}

impl<'a> Plot<'a> {
    /// Starts a plot of seconds and values, with its axes. `name` is that of the values.
    pub(super) fn start(page: &'a mut Markup, height: f64, x: Range, y: Range, name: &str) -> Self {
        let (width, whole) = (px(WIDTH), px(height));
        page.open("div", &[("class", "wide")]);
        page.open(
            "svg",
            &[
                ("class", "plot"),
                ("viewBox", &format!("0 0 {width} {whole}")),
                ("width", &width),
                ("height", &whole),
                ("role", "img"),
            ],
        );
        let mut plot = Plot { page, x, y, height };
        plot.axes(name);
        plot
    }

    fn axes(&mut self, name: &str) {
        for tick in self.y.ticks(6.0) {
            let y = self.at_y(tick);
            self.rule((LEFT, y), (RIGHT, y));
            self.words("y", (LEFT - 6.0, y + 4.0), &number(tick));
        }
        for tick in self.x.ticks(10.0) {
            let x = self.at_x(tick);
            self.rule((x, TOP), (x, self.height - BELOW));
            self.words("x", (x, self.height - 9.0), &format!("{} s", number(tick)));
        }
        self.words("axis", (LEFT + 4.0, TOP + 10.0), name);
    }

    fn rule(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.stroke("grid", from, to);
    }

    fn words(&mut self, class: &str, at: (f64, f64), text: &str) {
        self.page.element("text", &[("class", class), ("x", &px(at.0)), ("y", &px(at.1))], text);
    }

    fn stroke(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.page.element(
            "line",
            &[
                ("class", class),
                ("x1", &px(from.0)),
                ("y1", &px(from.1)),
                ("x2", &px(to.0)),
                ("y2", &px(to.1)),
            ],
            "",
        );
    }

    fn at_x(&self, value: f64) -> f64 {
        LEFT + (value - self.x.from) / (self.x.to - self.x.from) * (RIGHT - LEFT)
    }

    /// Values beyond the range are drawn at its edge.
    fn at_y(&self, value: f64) -> f64 {
        let bottom = self.height - BELOW;
        let y = bottom - (value - self.y.from) / (self.y.to - self.y.from) * (bottom - TOP);
        y.clamp(TOP, bottom)
    }

    /// An upright line between two values, with what it says.
    pub(super) fn bar(&mut self, class: &'static str, x: f64, from: f64, to: f64, says: &str) {
        let (x, low, high) = (self.at_x(x), self.at_y(from), self.at_y(to));
        self.page.open("g", &[]);
        self.page.element("title", &[], says);
        // Short ones are still seen.
        self.stroke(class, (x, low), (x, high.min(low - 1.5)));
        self.page.close("g");
    }

    /// A mark at a point.
    pub(super) fn point(&mut self, class: &'static str, x: f64, y: f64, says: &str) {
        let (x, y) = (px(self.at_x(x)), px(self.at_y(y)));
        self.page.open("circle", &[("class", class), ("cx", &x), ("cy", &y), ("r", "3")]);
        self.page.element("title", &[], says);
        self.page.close("circle");
    }

    /// Steps through points in order of time, the last one to the right edge.
    pub(super) fn steps(&mut self, class: &'static str, points: &[(f64, f64)]) {
        let mut path = String::new();
        for (n, &(x, y)) in points.iter().enumerate() {
            let (x, y) = (px(self.at_x(x)), px(self.at_y(y)));
            path.push_str(&if n == 0 { format!("M{x} {y}") } else { format!("H{x}V{y}") });
        }
        if !path.is_empty() {
            path.push_str(&format!("H{}", px(RIGHT)));
            self.page.element("path", &[("class", class), ("d", &path)], "");
        }
    }

    /// Ends it.
    pub(super) fn end(self) {
        self.page.close("svg");
        self.page.close("div");
    }
}

/// The names of what is drawn, each in the look that it has.
pub(super) fn legend(page: &mut Markup, names: &[(&'static str, &str)]) {
    page.open("p", &[("class", "legend")]);
    for (class, name) in names {
        page.open("span", &[]);
        page.element("i", &[("class", &format!("key {class}"))], "");
        page.text(name);
        page.close("span");
    }
    page.close("p");
}

/// A coordinate.
fn px(value: f64) -> String {
    format!("{value:.1}")
}

/// A value of an axis without needless digits.
fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let ticks = Range { from: 0.013, to: 0.87 }.ticks(10.0);
        assert_eq!(
            ticks.iter().map(|t| number(*t)).collect::<Vec<_>>()[..3],
            ["0.1", "0.2", "0.3"]
        );
        assert!(ticks.iter().all(|t| (0.013..=0.87).contains(t)));
        assert_eq!(Range::of([]), Range { from: 0.0, to: 1.0 });
        assert_eq!(Range::of([5.0]), Range { from: 5.0, to: 6.0 });
    }
}
