/// A table of texts.
public struct HTMLTable: Sendable, Hashable {
    public var head: [String]
    public var rows: [[String]]
    /// Columns whose cells are numbers, set to the right.
    public var numericColumns: Set<Int>

    public init(head: [String], rows: [[String]], numericColumns: Set<Int> = []) {
        self.head = head
        self.rows = rows
        self.numericColumns = numericColumns
    }

    /// The `table` element.
    public var html: String {
        func cells(_ texts: [String], _ tag: String) -> String {
            texts.enumerated().map { column, text in
                let scope = tag == "th" ? " scope=\"col\"" : ""
                let numeric = numericColumns.contains(column) ? " class=\"number\"" : ""
                return "<\(tag)\(scope)\(numeric)>\(MarkupText.escaped(text))</\(tag)>"
            }.joined()
        }
        let body = rows.map { "<tr>\(cells($0, "td"))</tr>" }.joined(separator: "\n")
        return
            "<div class=\"scroll\"><table><thead><tr>\(cells(head, "th"))</tr></thead>\n<tbody>\(body)</tbody></table></div>"
    }
}
