import CoppiceModels
import CoppiceTensors

/// Texts, or pairs of texts, each with a label: what classifiers learn from and are measured on.
///
/// A file of tab-separated values, of comma-separated ones or of JSON objects, one a line, with a column (a key) for the
/// label and one or two for texts, as GLUE and the data sets of Hugging Face have them:
///
/// ```swift
/// let texts = try LabelledTexts.read("sst2/dev.tsv", labels: checkpoint.labels())
/// ```
public struct LabelledTexts: Sendable, Hashable {
    public struct Example: Sendable, Hashable {
        /// One, or a pair.
        public var texts: [String]
        /// The class, from 0.
        public var label: Int

        public init(_ texts: [String], label: Int) {
            self.texts = texts
            self.label = label
        }
    }

    /// Which columns count.
    public struct Columns: Sendable, Hashable {
        /// Of one text or two; empty: the first of ``pairs`` and ``single`` that the file has.
        public var texts: [String]
        /// Nil: the first of ``labels`` that the file has.
        public var label: String?

        public init(texts: [String] = [], label: String? = nil) {
            self.texts = texts
            self.label = label
        }

        public static let pairs = [
            ["sentence1", "sentence2"], ["premise", "hypothesis"], ["question1", "question2"],
            ["question", "sentence"], ["text", "text_pair"], ["text1", "text2"], ["#1 String", "#2 String"],
        ]
        public static let single = ["text", "sentence"]
        public static let labels = ["label", "labels", "gold_label", "is_duplicate", "Quality"]
    }

    public var examples: [Example]
    /// The file.
    public let source: String

    public init(_ examples: [Example], source: String = "texts") {
        self.examples = examples
        self.source = source
    }

    /// How a file says what belongs together.
    public enum Format: Sendable, Hashable, CaseIterable {
        case tabs, commas, jsonLines

        /// By the end of the file's name; else by its first line.
        init(_ path: String, _ text: String) {
            switch path.split(separator: ".").last?.lowercased() {
            case "tsv": self = .tabs
            case "csv": self = .commas
            case "jsonl", "ndjson", "json": self = .jsonLines
            default:
                let line = text.prefix { !$0.isNewline }
                self = line.first == "{" ? .jsonLines : line.contains("\t") ? .tabs : .commas
            }
        }
    }

    /// Reads a file.
    ///
    /// - Parameter labels: the classes' names, in their order. A label is one of them (capitals aside), or the number of
    ///   one.
    /// - Throws: `.noInput`; `.badData` for a file that is not UTF-8, has no example, lacks a column or has a label that is
    ///   not known, naming the line.
    public static func read(_ path: String, labels: [String], columns: Columns = Columns()) throws -> LabelledTexts {
        var bytes = try MappedFile.contents(path)[...]
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CoppiceError(.badData, source: path, "is not UTF-8 text")
        }
        return try LabelledTexts(
            text, format: Format(path, text), labels: labels, columns: columns, source: path)
    }

    /// Reads a text.
    ///
    /// - Throws: as ``read(_:labels:columns:)``.
    public init(
        _ text: String, format: Format, labels: [String], columns: Columns = Columns(), source: String
    ) throws {
        let rows: [Row]
        switch format {
        case .jsonLines: rows = try Self.objects(text, source)
        case .tabs: rows = try Self.table(text, separator: "\t", isQuoted: false, columns, source)
        case .commas: rows = try Self.table(text, separator: ",", isQuoted: true, columns, source)
        }
        guard let first = rows.first else {
            throw CoppiceError(
                .badData, source: source,
                "has no example, expected "
                    + (format == .jsonLines
                        ? "JSON objects, one a line, with texts and a label"
                        : "a line that names columns, and lines of texts and a label"))
        }
        let names = try columns.names(in: first.names, source: source)
        let byName = Dictionary(labels.enumerated().map { ($1.lowercased(), $0) }) { first, _ in first }
        self.source = source
        examples = try rows.map { row in
            func value(_ column: String) throws -> String {
                guard let value = row.values[column] else {
                    throw row.failure(column, "is missing", source)
                }
                return value
            }
            let word = try value(names.label)
            guard
                let label = labels.firstIndex(of: word) ?? byName[word.lowercased()]
                    ?? Int(word).flatMap({ labels.indices.contains($0) ? $0 : nil })
            else {
                throw row.failure(
                    names.label,
                    "\"\(word.prefix(40))\" is no label of the model, expected one of "
                        + labels.prefix(20).joined(separator: ", ")
                        + (labels.count > 20 ? ", …" : "") + " or a number from 0 to \(labels.count - 1)", source)
            }
            return Example(try names.texts.map(value), label: label)
        }
    }

    // MARK: Rows

    /// What a line says.
    private struct Row {
        var line: Int
        /// In the file's order.
        var names: [String]
        var values: [String: String]

        func failure(_ column: String, _ message: String, _ source: String) -> CoppiceError {
            CoppiceError(.badData, source: source, field: "line \(line): \(column)", message)
        }
    }

    private static func objects(_ text: String, _ source: String) throws -> [Row] {
        // Of bytes: strings may hold characters that end lines elsewhere.
        let lines = Array(text.utf8).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        return try lines.enumerated().compactMap { index, line in
            guard line.contains(where: { $0 > UInt8(ascii: " ") }) else { return nil }
            let place = "\(source): line \(index + 1)"
            guard let members = try JSON(parsing: line, source: place).objectValue else {
                throw CoppiceError(.badData, source: place, "expected a JSON object with texts and a label")
            }
            var values: [String: String] = [:]
            for (name, value) in members {
                values[name] =
                    value.stringValue ?? value.intValue.map(String.init) ?? value.boolValue.map { $0 ? "1" : "0" }
            }
            return Row(line: index + 1, names: Array(members.keys), values: values)
        }
    }

    private static func table(
        _ text: String, separator: Character, isQuoted: Bool, _ columns: Columns, _ source: String
    ) throws -> [Row] {
        let records = try DelimitedText.records(text, separator: separator, isQuoted: isQuoted, source: source)
        guard let head = records.first else { return [] }
        // Before any line is: a file without names of columns has a first example there.
        _ = try columns.names(in: head.fields, source: source)
        return try records.dropFirst().map { record in
            guard record.fields.count == head.fields.count else {
                throw CoppiceError(
                    .badData, source: source, field: "line \(record.line)",
                    "has \(record.fields.count) values, expected \(head.fields.count), one for each column: "
                        + head.fields.joined(separator: ", "))
            }
            return Row(
                line: record.line, names: head.fields,
                values: Dictionary(zip(head.fields, record.fields)) { first, _ in first })
        }
    }
}

extension LabelledTexts.Columns {
    /// The columns of a file.
    ///
    /// - Parameter names: of all its columns.
    /// - Throws: `.badData` naming what there is none of.
    func names(in names: [String], source: String) throws -> (texts: [String], label: String) {
        let found = "found " + (names.isEmpty ? "none" : names.prefix(20).joined(separator: ", "))
        func missing(_ expected: String, hint: String = "") -> CoppiceError {
            CoppiceError(.badData, source: source, field: "columns", "expected \(expected), \(found)\(hint)")
        }
        for name in texts + (label.map { [$0] } ?? []) where !names.contains(name) {
            throw missing("\"\(name)\"", hint: Spelling.hint(name, names))
        }
        let pair = Self.pairs.first { $0.allSatisfy(names.contains) }
        let chosen = texts.isEmpty ? pair ?? Self.single.first(where: names.contains).map { [$0] } : texts
        guard let chosen else {
            throw missing(
                "texts as " + Self.single.joined(separator: ", ") + " or "
                    + Self.pairs.map { $0.joined(separator: " and ") }.joined(separator: ", "))
        }
        guard let label = label ?? Self.labels.first(where: names.contains) else {
            throw missing("a label as " + Self.labels.joined(separator: ", "))
        }
        return (chosen, label)
    }
}
