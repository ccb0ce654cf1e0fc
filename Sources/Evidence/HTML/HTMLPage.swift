/// One self-contained HTML page: no script, nothing loaded from elsewhere.
///
/// ```swift
/// var page = HTMLPage(title: "Before and after")
/// page.paragraph("Measured on this machine.")
/// page.figure(chart, caption: "Lower is better.")
/// try AtomicFile.write(page.html, to: "report.html")
/// ```
public struct HTMLPage: Sendable {
    public var title: String
    /// A line under the title.
    public var subtitle: String
    private var content: [String] = []

    public init(title: String, subtitle: String = "") {
        self.title = title
        self.subtitle = subtitle
    }

    /// A section heading.
    public mutating func heading(_ text: String) { content.append("<h2>\(MarkupText.escaped(text))</h2>") }

    /// A heading within a section.
    public mutating func subheading(_ text: String) { content.append("<h3>\(MarkupText.escaped(text))</h3>") }

    public mutating func paragraph(_ text: String) { content.append("<p>\(MarkupText.escaped(text))</p>") }

    /// A less important paragraph in small type.
    public mutating func note(_ text: String) { content.append("<p class=\"note\">\(MarkupText.escaped(text))</p>") }

    /// Text whose spaces and line breaks count.
    public mutating func preformatted(_ text: String) { content.append("<pre>\(MarkupText.escaped(text))</pre>") }

    public mutating func list(_ items: [String]) {
        guard !items.isEmpty else { return }
        content.append("<ul>\(items.map { "<li>\(MarkupText.escaped($0))</li>" }.joined())</ul>")
    }

    public mutating func table(_ table: HTMLTable) { content.append(table.html) }

    /// A table that is folded away until it is asked for.
    public mutating func foldedTable(_ summary: String, _ table: HTMLTable) {
        content.append("<details><summary>\(MarkupText.escaped(summary))</summary>\(table.html)</details>")
    }

    /// A figure with its title above and its caption below.
    public mutating func figure(_ figure: any Figure, caption: String = "") {
        let below = caption.isEmpty ? "" : "<p class=\"note\">\(MarkupText.escaped(caption))</p>"
        content.append(
            "<figure><figcaption>\(MarkupText.escaped(figure.title))</figcaption>\(figure.svg)\(below)</figure>")
    }

    /// Large figures with a word below each.
    public mutating func headlines(_ items: [(value: String, label: String)]) {
        let cells = items.map {
            "<div><strong>\(MarkupText.escaped($0.value))</strong><span>\(MarkupText.escaped($0.label))</span></div>"
        }
        content.append("<div class=\"headlines\">\(cells.joined())</div>")
    }

    /// Texts side by side, each under a heading.
    public mutating func columns(_ items: [(heading: String, text: String)]) {
        let cells = items.map {
            "<div><h3>\(MarkupText.escaped($0.heading))</h3><blockquote>\(MarkupText.escaped($0.text))</blockquote></div>"
        }
        content.append("<div class=\"columns\">\(cells.joined())</div>")
    }

    /// A statement with a badge that says how it came out.
    mutating func verdict(_ badge: String, kind: String, title: String, details: [(String, String)]) {
        let rows = details.filter { !$0.1.isEmpty }.map {
            "<dt>\(MarkupText.escaped($0.0))</dt><dd>\(MarkupText.escaped($0.1))</dd>"
        }
        content.append(
            "<section class=\"claim\"><span class=\"badge \(MarkupText.escaped(kind))\">\(MarkupText.escaped(badge))</span>"
                + "<h3>\(MarkupText.escaped(title))</h3><dl>\(rows.joined())</dl></section>")
    }

    /// The whole page.
    public var html: String {
        let under = subtitle.isEmpty ? "" : "<p class=\"subtitle\">\(MarkupText.escaped(subtitle))</p>"
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <title>\(MarkupText.escaped(title))</title>
            <style>
            \(Self.styleSheet)
            </style>
            </head>
            <body>
            <main>
            <header><h1>\(MarkupText.escaped(title))</h1>\(under)</header>
            \(content.joined(separator: "\n"))
            </main>
            </body>
            </html>

            """
    }
}
