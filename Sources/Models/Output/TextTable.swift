/// Rows of text cells under a head, columns as wide as they need.
package struct TextTable {
    /// Which side of its column a cell is at.
    package enum Alignment {
        case left, right
    }

    package var head: [(title: String, alignment: Alignment)]
    package var rows: [[String]]

    package init(head: [(title: String, alignment: Alignment)], rows: [[String]]) {
        self.head = head
        self.rows = rows
    }

    /// The table without the columns in which no row has anything, a line for each row.
    package var lines: [String] {
        let shown = head.indices.filter { column in rows.contains { !$0[column].isEmpty } }
        let cells = [head.map(\.title)] + rows
        let widths = head.indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
        return cells.map { row in
            let padded = shown.map { column in
                let space = String(repeating: " ", count: widths[column] - row[column].count)
                return head[column].alignment == .left ? row[column] + space : space + row[column]
            }
            return padded.joined(separator: "  ").trimmingTrailingSpaces
        }
    }

    /// A bar of blocks of which a share is full; eighths of a block are drawn.
    ///
    /// - Parameter share: from 0 to 1.
    package static func bar(_ share: Double, width: Int = 10) -> String {
        let eighths = Int((min(1, max(0, share)) * Double(width * 8)).rounded())
        let (full, rest) = eighths.quotientAndRemainder(dividingBy: 8)
        let partial = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][rest]
        let empty = width - full - (rest > 0 ? 1 : 0)
        return String(repeating: "█", count: full) + partial + String(repeating: "·", count: empty)
    }
}

extension String {
    fileprivate var trimmingTrailingSpaces: String {
        var text = self[...]
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
