import CoppiceModels
import OrderedCollections

/// What an experiment found: claims, figures and the numbers behind them.
///
/// Holds no times and no dates, so that the same run gives the same bytes.
public struct ExperimentReport: Sendable {
    /// A line of what the experiment was run on or with.
    public struct Fact: Sendable, Hashable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// A table with a title.
    public struct Table: Sendable {
        public var title: String
        public var table: HTMLTable

        public init(title: String, _ table: HTMLTable) {
            self.title = title
            self.table = table
        }
    }

    /// A figure and what to see in it.
    public struct Illustration: Sendable {
        /// A stable name, used for the file name.
        public var id: String
        public var figure: any Figure
        public var caption: String

        public init(id: String, _ figure: any Figure, caption: String) {
            self.id = id
            self.figure = figure
            self.caption = caption
        }
    }

    public var identifier: String
    public var title: String
    public var paper: String
    /// How the measurement was made.
    public var protocolText: String
    public var facts: [Fact]
    public var claims: [Claim]
    public var illustrations: [Illustration]
    public var tables: [Table]
    /// What else a reader should know.
    public var notes: [String]
    /// The numbers, for other programs.
    public var data: JSON
    /// The words of the command that makes the report.
    public var command: [String]

    public init(
        identifier: String, title: String, paper: String, protocolText: String, facts: [Fact] = [],
        claims: [Claim], illustrations: [Illustration] = [], tables: [Table] = [], notes: [String] = [],
        data: JSON = .null
    ) {
        self.identifier = identifier
        self.title = title
        self.paper = paper
        self.protocolText = protocolText
        self.facts = facts
        self.claims = claims
        self.illustrations = illustrations
        self.tables = tables
        self.notes = notes
        self.data = data
        command = ["coppice", "reproduce", identifier]
    }

    /// How many claims came out in a way.
    public func count(_ verdict: Claim.Verdict) -> Int { claims.count { $0.verdict == verdict } }

    /// `5 of 6 measured claims hold, 4 are not measured here`.
    public var outcome: String {
        let open = count(.notMeasured)
        return "\(count(.holds)) of \(claims.count - open) measured claims hold"
            + (open == 0 ? "" : ", \(open) \(open == 1 ? "is" : "are") not measured here")
    }
}

extension ExperimentReport {
    /// The report as JSON. Keys are stable: `experiment`, `title`, `paper`, `protocol`, `setting`, `outcome`, `claims`
    /// (`id`, `statement`, `paper`, `criterion`, `here`, `verdict`, `holds` (null where not measured), `measurements`),
    /// `notes`, `data`.
    public var json: JSON {
        let claims = claims.map { claim -> JSON in
            let measurements = claim.comparisons.map { comparison -> JSON in
                .object([
                    "quantity": .string(comparison.quantity), "value": .number(comparison.value),
                    "relation": .string(comparison.relation.rawValue), "bound": .number(comparison.bound),
                    "unit": .string(comparison.unit), "holds": .bool(comparison.holds),
                ])
            }
            return .object([
                "id": .string(claim.id), "statement": .string(claim.statement), "paper": .string(claim.paper),
                "criterion": .string(claim.criterion), "here": .string(claim.here),
                "verdict": .string(claim.verdict.rawValue),
                "holds": claim.verdict == .notMeasured ? .null : .bool(claim.verdict == .holds),
                "remark": .string(claim.remark), "measurements": .array(measurements),
            ])
        }
        let setting = OrderedDictionary(facts.map { ($0.name, JSON.string($0.value)) }) { $1 }
        return .object([
            "experiment": .string(identifier), "title": .string(title), "paper": .string(paper),
            "protocol": .string(protocolText), "setting": .object(setting),
            "outcome": .object([
                "holds": .integer(count(.holds)), "does_not_hold": .integer(count(.doesNotHold)),
                "not_measured": .integer(count(.notMeasured)),
            ]),
            "claims": .array(claims), "notes": .array(notes.map { .string($0) }), "data": data,
        ])
    }

    /// The report for a terminal: claim by claim, paper / here / how it came out.
    public var text: String {
        var lines = ["\(title)", paper, "", protocolText, ""]
        lines += facts.map { "  \($0.name): \($0.value)" }
        for (number, claim) in claims.enumerated() {
            lines += ["", "\(number + 1). \(claim.statement)", "   paper:  \(claim.paper)"]
            if claim.verdict == .notMeasured {
                lines.append("   here:   not measured: \(claim.here)")
            } else {
                lines += claim.comparisons.map { "   here:   \($0.description)" }
                lines.append("   \(claim.verdict == .holds ? "HOLDS" : "DOES NOT HOLD") (\(claim.criterion))")
            }
            if !claim.remark.isEmpty { lines.append("   note:   \(claim.remark)") }
        }
        lines += [""] + notes.map { "Note: \($0)" } + ["\(outcome)."]
        return lines.joined(separator: "\n")
    }

    /// The report as one HTML page.
    public var html: String {
        var page = HTMLPage(title: title, subtitle: paper)
        page.headlines([
            ("\(count(.holds))", "claims hold"), ("\(count(.doesNotHold))", "do not hold"),
            ("\(count(.notMeasured))", "not measured here"),
        ])
        page.paragraph(protocolText)
        if !facts.isEmpty { page.table(HTMLTable(head: ["Setting", ""], rows: facts.map { [$0.name, $0.value] })) }
        page.heading("Claims")
        for claim in claims {
            let (badge, kind) =
                switch claim.verdict {
                case .holds: ("holds", "holds")
                case .doesNotHold: ("does not hold", "fails")
                case .notMeasured: ("not measured here", "open")
                }
            page.verdict(
                badge, kind: kind, title: claim.statement,
                details: [
                    ("Paper", claim.paper), ("Here", claim.here), ("Holds when", claim.criterion),
                    ("Note", claim.remark),
                ])
        }
        if !illustrations.isEmpty { page.heading("Figures") }
        for illustration in illustrations { page.figure(illustration.figure, caption: illustration.caption) }
        if !tables.isEmpty { page.heading("Numbers") }
        for table in tables { page.foldedTable(table.title, table.table) }
        page.list(notes)
        return page.html
    }

    /// Writes `report.html`, `report.json`, `report.txt`, `report.md` and the figures as SVG files into a folder that
    /// appears under its name when it is complete.
    ///
    /// - Throws: `.cannotCreate` or `.inputOutput` when that fails.
    public func write(toFolder path: String) throws {
        let folder = try OutputFolder(at: path)
        try write(html, to: folder.path(for: "report.html"))
        try write(json.serialized(pretty: true) + "\n", to: folder.path(for: "report.json"))
        try write(text + "\n", to: folder.path(for: "report.txt"))
        try write(markdown, to: folder.path(for: "report.md"))
        for illustration in illustrations {
            try write(illustration.figure.svgDocument, to: folder.path(for: illustration.id + ".svg"))
        }
        try folder.commit()
    }

    private func write(_ text: String, to path: String) throws { try AtomicFile.write(text, to: path) }
}
