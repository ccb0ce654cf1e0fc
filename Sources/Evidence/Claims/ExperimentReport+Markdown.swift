extension ExperimentReport {
    /// The report as a page of Markdown, in the form of `docs/evidence`. Figures are linked as SVG files beside it.
    public var markdown: String {
        var parts = ["# \(title)", paper]
        parts.append("```\n\(command.map(Self.shellWord).joined(separator: " "))\n```")
        parts.append(protocolText)
        if !facts.isEmpty {
            parts.append(HTMLTable(head: ["setting", ""], rows: facts.map { [$0.name, $0.value] }).markdown)
        }
        parts += ["## Claims", claimTable.markdown, "\(outcome)."]
        for illustration in illustrations {
            parts.append("![\(Self.line(illustration.caption))](\(illustration.id).svg)")
        }
        for table in tables { parts += ["### \(table.title)", table.table.markdown] }
        if !notes.isEmpty { parts += ["## Notes", notes.map { "- \(Self.line($0))" }.joined(separator: "\n")] }
        return parts.joined(separator: "\n\n") + "\n"
    }

    private var claimTable: HTMLTable {
        HTMLTable(
            head: ["claim", "paper says", "what had to be true", "measured", ""],
            rows: claims.map { claim in
                let remark = claim.remark.isEmpty ? "" : " (\(claim.remark))"
                return [
                    claim.statement, claim.paper, claim.criterion, claim.here + remark, "**\(claim.verdict.rawValue)**",
                ]
            })
    }

    /// A word as a shell reads it.
    private static func shellWord(_ word: String) -> String {
        word.wholeMatch(of: /[A-Za-z0-9_@%+=:,.\/-]+/) == nil ? "'\(word.replacing("'", with: #"'\''"#))'" : word
    }

    private static func line(_ text: String) -> String { text.split(separator: "\n").joined(separator: " ") }
}

extension HTMLTable {
    /// The table in Markdown, numbers to the right.
    var markdown: String {
        func line(_ cells: [String]) -> String {
            let texts = cells.map {
                $0.split(separator: "\n").joined(separator: " ").replacing("\\", with: "\\\\").replacing(
                    "|", with: "\\|")
            }
            return "| " + texts.joined(separator: " | ") + " |"
        }
        let rule = head.indices.map { numericColumns.contains($0) ? "--:" : "---" }.joined(separator: "|")
        return ([line(head), "|\(rule)|"] + rows.map(line)).joined(separator: "\n")
    }
}
