//! Frame of a chart: title, legend, axes, and the elements of each mode.

use std::{io, ops::Range};

use plotters::{
    chart::{ChartBuilder, ChartContext},
    coord::{Shift, types::RangedCoordf64},
    drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea},
    element::{
        Circle, DashedPathElement, DynElement, EmptyElement, IntoDynElement, PathElement, Polygon,
        Text,
    },
    prelude::{Cartesian2d, SVGBackend},
    style::{
        Color, FontStyle, IntoTextStyle, RGBColor, ShapeStyle, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

pub(super) type Error = DrawingAreaErrorKind<io::Error>;

type Coordinates = Cartesian2d<RangedCoordf64, RangedCoordf64>;

const SIZE: (u32, u32) = (900, 500);
/// Distance of the title and the legend from the left edge.
const LEFT: i32 = 24;
const TITLE_HEIGHT: i32 = 52;
const LEGEND_HEIGHT: i32 = 28;
/// Length of the line of a mode.
const LEGEND_LINE: i32 = 40;
/// Distance of the text from the start of the line.
const LEGEND_TEXT: i32 = 48;
const LEGEND_GAP: i32 = 14;
/// Average width of a character in a wide font.
const CHAR_WIDTH: i32 = 8;
/// Sizes of plotters. The SVG has them divided by 1.24.
const TITLE_FONT: f64 = 25.0;
const FONT: f64 = 18.5;

/// Colours of the modes, which colour-blind people can tell apart (Okabe and Ito).
const COLORS: [RGBColor; 5] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
];
const TEXT: RGBColor = RGBColor(0x1F, 0x23, 0x28);
const AXIS: RGBColor = RGBColor(0x6E, 0x77, 0x81);
const GRID: RGBColor = RGBColor(0xD8, 0xDE, 0xE4);

/// Colours on dark pages. The attributes are those that plotters writes.
const STYLE: &str = r##"<style>
@media (prefers-color-scheme: dark) {
  [fill="#1F2328"] { fill: #E6EDF3 }
  [stroke="#6E7781"] { stroke: #9198A1 }
  [stroke="#D8DEE4"] { stroke: #343B44 }
  [fill="#0072B2"] { fill: #56B4E9 }
  [stroke="#0072B2"] { stroke: #56B4E9 }
  [fill="#D55E00"] { fill: #E8702A }
  [stroke="#D55E00"] { stroke: #E8702A }
  [fill="#009E73"] { fill: #2BC79A }
  [stroke="#009E73"] { stroke: #2BC79A }
}
</style>
"##;

/// Returns `svg` with the style block for dark pages.
pub(super) fn with_style(svg: String) -> String {
    match svg.split_once('\n') {
        Some((head, body)) => format!("{head}\n{STYLE}{body}"),
        None => svg,
    }
}

/// Axis of a chart.
pub(super) struct Axis {
    /// Name with unit.
    pub label: String,
    pub range: Range<f64>,
    /// Most numbers at the axis.
    pub numbers: usize,
}

/// Chart on which the elements of the modes are drawn. A mode is named by its index.
pub(super) struct Plot<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    chart: ChartContext<'a, SVGBackend<'a>, Coordinates>,
}

impl<'a> Plot<'a> {
    /// Draws title, legend and axes.
    pub(super) fn with_legend(
        svg: &'a mut String,
        title: &str,
        x: Axis,
        y: Axis,
        names: &[String],
    ) -> Result<Self, Error> {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        draw_title(&area, title)?;
        let top = legend(&area, names)? + 8;
        let mut chart = frame(&area, top, 78).build_cartesian_2d(x.range, y.range)?;
        mesh(&mut chart, (&x.label, x.numbers), Some((&y.label, y.numbers)))?;
        Ok(Self { area, chart })
    }

    /// Draws title and axes. The y axis has a band of height 1 for each mode, the first on top.
    pub(super) fn with_bands(
        svg: &'a mut String,
        title: &str,
        x: Axis,
        names: &[String],
    ) -> Result<Self, Error> {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        draw_title(&area, title)?;
        let bands = names.len() as f64;
        let start = x.range.start;
        let mut chart =
            frame(&area, TITLE_HEIGHT, 228).build_cartesian_2d(x.range, 0.0..bands.max(1.0))?;
        mesh(&mut chart, (&x.label, x.numbers), None)?;
        for (index, name) in names.iter().enumerate() {
            let at = (start, bands - 0.5 - index as f64);
            let name = Text::new(name.clone(), (-14, 0), text(FONT, HPos::Right));
            chart.plotting_area().draw(&(EmptyElement::at(at) + name))?;
        }
        Ok(Self { area, chart })
    }

    /// Draws a translucent dot.
    pub(super) fn dot(&mut self, mode: usize, at: (f64, f64)) -> Result<(), Error> {
        self.chart.plotting_area().draw(&Circle::new(at, 3, color(mode).mix(0.55).filled()))
    }

    /// Draws a path of straight lines.
    pub(super) fn path(
        &mut self,
        mode: usize,
        width: u32,
        points: &[(f64, f64)],
    ) -> Result<(), Error> {
        let style = color(mode).stroke_width(width);
        self.chart.plotting_area().draw(&PathElement::new(points, style))
    }

    /// Draws a line with a marker at each point.
    pub(super) fn line(&mut self, mode: usize, points: &[(f64, f64)]) -> Result<(), Error> {
        self.chart.plotting_area().draw(&path(mode, points))?;
        points.iter().try_for_each(|it| self.chart.plotting_area().draw(&marker(mode, *it)))
    }

    /// Ends the SVG.
    pub(super) fn finish(self) -> Result<(), Error> {
        self.area.present()
    }
}

fn draw_title(area: &DrawingArea<SVGBackend<'_>, Shift>, title: &str) -> Result<(), Error> {
    let style = text(TITLE_FONT, HPos::Left);
    let font = style.font.style(FontStyle::Bold);
    area.draw(&Text::new(title, (LEFT, TITLE_HEIGHT / 2), TextStyle { font, ..style }))
}

/// Draws the legend above the axes. Returns the position of its lower edge.
fn legend(area: &DrawingArea<SVGBackend<'_>, Shift>, names: &[String]) -> Result<i32, Error> {
    let (mut x, mut y) = (LEFT, TITLE_HEIGHT + LEGEND_HEIGHT / 2);
    for (mode, name) in names.iter().enumerate() {
        let width = LEGEND_TEXT + name.chars().count() as i32 * CHAR_WIDTH;
        if x > LEFT && x + width > SIZE.0 as i32 {
            (x, y) = (LEFT, y + LEGEND_HEIGHT);
        }
        area.draw(&path(mode, &[(x, y), (x + LEGEND_LINE, y)]))?;
        area.draw(&marker(mode, (x + LEGEND_LINE / 2, y)))?;
        area.draw(&Text::new(name.clone(), (x + LEGEND_TEXT, y), text(FONT, HPos::Left)))?;
        x += width + LEGEND_GAP;
    }
    Ok(y + LEGEND_HEIGHT / 2)
}

fn frame<'a, 'b>(
    area: &'b DrawingArea<SVGBackend<'a>, Shift>,
    top: i32,
    left: i32,
) -> ChartBuilder<'b, 'b, SVGBackend<'a>> {
    let mut frame = ChartBuilder::on(area);
    frame.margin_top(top).margin_right(28).margin_bottom(12).margin_left(12);
    frame.x_label_area_size(52).y_label_area_size(left);
    frame
}

/// Draws grid, axes and labels. Without a label, the y axis has no numbers and no grid.
fn mesh(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Coordinates>,
    (x, x_numbers): (&str, usize),
    y: Option<(&str, usize)>,
) -> Result<(), Error> {
    let number = |it: &f64| ((it * 1000.0).round() / 1000.0).to_string();
    let mut mesh = chart.configure_mesh();
    mesh.max_light_lines(0).bold_line_style(GRID).axis_style(AXIS);
    mesh.label_style(text(FONT, HPos::Center)).axis_desc_style(text(FONT, HPos::Center));
    mesh.x_labels(x_numbers).x_label_formatter(&number).x_desc(x);
    match y {
        Some((y, numbers)) => mesh.y_labels(numbers).y_label_formatter(&number).y_desc(y),
        None => mesh
            .y_labels(0)
            .disable_y_mesh()
            .set_tick_mark_size(plotters::chart::LabelAreaPosition::Left, 0),
    };
    mesh.draw()
}

fn text(size: f64, h_pos: HPos) -> TextStyle<'static> {
    let style = ("sans-serif", size).into_text_style(&SIZE);
    TextStyle { color: TEXT.to_backend_color(), pos: Pos::new(h_pos, VPos::Center), ..style }
}

fn color(mode: usize) -> RGBColor {
    COLORS.into_iter().cycle().nth(mode).unwrap_or(TEXT)
}

/// Returns the line of a mode. Where lines coincide, those below show in the gaps of those above.
fn path<'a, C: Clone>(
    mode: usize,
    points: &'a [C],
) -> DashedPathElement<std::iter::Cloned<std::slice::Iter<'a, C>>, i32> {
    let (dash, gap) = match mode % COLORS.len() {
        0 | 1 => (1_000, 0),
        2 => (14, 8),
        3 => (7, 5),
        _ => (8, 14),
    };
    DashedPathElement::new(points.iter().cloned(), dash, gap, color(mode).stroke_width(2))
}

/// Returns the marker of a mode. Modes differ in shape, for readers who see no colours. The later
/// ones are smaller, so that they do not cover earlier ones at the same point.
fn marker<'a, C: Clone + 'a>(mode: usize, at: C) -> DynElement<'a, SVGBackend<'a>, C> {
    let style: ShapeStyle = color(mode).filled();
    let corners = match mode % COLORS.len() {
        0 => return (EmptyElement::at(at) + Circle::new((0, 0), 6, style)).into_dyn(),
        1 => vec![(-6, -6), (6, -6), (6, 6), (-6, 6)],
        2 => vec![(0, -7), (6, 5), (-6, 5)],
        3 => vec![(0, -5), (5, 0), (0, 5), (-5, 0)],
        _ => vec![(-3, -3), (3, -3), (0, 3)],
    };
    (EmptyElement::at(at) + Polygon::new(corners, style)).into_dyn()
}
