/// A drawing that says what it shows: SVG text without scripts.
///
/// Colours are CSS custom properties with fallbacks, so that a page decides between light and dark. All texts are
/// escaped; numbers that are not finite are left out of the drawing.
public protocol Figure: Sendable {
    /// What the figure shows, for its heading and for screen readers.
    var title: String { get }
    /// The figure in words for those who do not see it; may be empty.
    var summary: String { get }
    /// Width and height of the drawing in its own units.
    var size: (width: Double, height: Double) { get }
    /// The elements inside the `svg` element.
    var body: String { get }
}

extension Figure {
    public var summary: String { "" }

    /// The `svg` element, to be put into a page that has ``FigureStyle/css`` in its style sheet.
    public var svg: String { element(style: nil) }

    /// The figure as a file of its own.
    public var svgDocument: String {
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            + element(style: FigureStyle.variables(":root") + FigureStyle.css) + "\n"
    }

    private func element(style: String?) -> String {
        let (width, height) = (MarkupText.coordinate(size.width), MarkupText.coordinate(size.height))
        let description = summary.isEmpty ? "" : "<desc>\(MarkupText.escaped(summary))</desc>"
        return
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"figure\" role=\"img\" viewBox=\"0 0 \(width) \(height)\" "
            + "aria-label=\"\(MarkupText.escaped(title))\"><title>\(MarkupText.escaped(title))</title>\(description)"
            + (style.map { "<style>\($0)</style>" } ?? "") + body + "</svg>"
    }
}

/// Colours and type of all figures.
public enum FigureStyle {
    /// Rules that use the custom properties below.
    public static let css = """
        .figure{width:100%;height:auto;display:block;font:12px system-ui,sans-serif}
        .figure text{fill:var(--ink-soft,#57606a)}
        .figure .value{fill:var(--ink,#1f2328);font-size:11px}
        .figure .grid{stroke:var(--line,#d8dee4);stroke-width:1}
        .figure .axis{stroke:var(--ink-soft,#57606a);stroke-width:1}
        .figure .curve{fill:none;stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round}
        .figure .mark{stroke:var(--ink-soft,#57606a);stroke-dasharray:4 4}

        """
        + (0..<colourCount).map {
            ".figure .s\($0){--series:var(--series-\($0),\(light[$0]))}"
        }.joined(separator: "\n") + """

            .figure .fill{fill:var(--series)}
            .figure .veil{fill:var(--series);fill-opacity:.45;stroke:var(--series)}
            .figure .stroke{stroke:var(--series)}

            """

    /// How many series have a colour of their own; further ones start again.
    public static let colourCount = 6
    private static let light = ["#2f6f4f", "#c2571a", "#3566b8", "#8a4fa3", "#a07d00", "#b03a5b"]
    private static let dark = ["#6fc198", "#f0955a", "#7ea8ee", "#c394dc", "#dcb843", "#ec7f9d"]

    /// Definitions of the custom properties, light and dark.
    public static func variables(_ selector: String) -> String {
        func block(_ series: [String], _ rest: String) -> String {
            let colours = series.enumerated().map { "--series-\($0.offset):\($0.element)" }.joined(separator: ";")
            return "\(selector){\(rest);\(colours)}"
        }
        return block(
            light, "--ink:#1f2328;--ink-soft:#57606a;--line:#d8dee4;--paper:#ffffff;--shade:#f4f6f5;--accent:#2f6f4f")
            + "\n@media (prefers-color-scheme:dark){"
            + block(
                dark, "--ink:#e6edf3;--ink-soft:#9aa5b1;--line:#30363d;--paper:#12161b;--shade:#1a2027;--accent:#6fc198"
            )
            + "}\n"
    }

    /// The classes of a series.
    static func series(_ index: Int) -> String { "s\(index % colourCount)" }
}
