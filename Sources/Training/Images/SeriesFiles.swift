import CoppiceModels
import CoppiceTensors
import Foundation

/// Labelled series of one length in text files, as the UCR archive has them: each line is a series, its label and then
/// its values in the order of time, separated by tabs (Dau et al., "The UCR time series archive", 2019).
///
/// Labels are words or numbers; classes are those of the training series, in the order of numbers or of the alphabet.
struct SeriesFiles {
    static let home = "https://www.cs.ucr.edu/~eamonn/time_series_data_2018"

    let folder: String
    /// All files of the folder.
    let names: [String]

    private static func ending(_ split: ImageDataSet.Split) -> String { "_\(split.rawValue).tsv" }

    private static func isPart(_ name: String, of split: ImageDataSet.Split) -> Bool {
        CompressedFile.plainName(name).lowercased().hasSuffix(ending(split))
    }

    static func areIn(_ names: [String]) -> Bool {
        names.contains { name in ImageDataSet.Split.allCases.contains { isPart(name, of: $0) } }
    }

    func load(_ split: ImageDataSet.Split) throws -> ImageDataSet {
        guard let own = try file(split) else {
            let usual = "\(setName)_\(split.rawValue.uppercased()).tsv"
            throw CoppiceError(.noInput, source: folder + "/" + usual, "is missing (plain, .gz or .xz)")
        }
        let table = try SeriesTable(folder + "/" + own)
        let training = try split == .train ? nil : file(.train).map { try SeriesTable(folder + "/" + $0) }
        if let training, training.length != table.length {
            throw CoppiceError(
                .badData, source: folder + "/" + own,
                "has series of \(table.length) values, expected \(training.length) as the training series")
        }
        let classNames = (training ?? table).classNames
        return ImageDataSet(
            name: setName, pixels: Tensor(table.values, shape: [table.labels.count, 1, table.length, 1]),
            labels: try table.places(in: classNames), classNames: classNames,
            normalization: ImageNormalization(ofValues: (training ?? table).values))
    }

    /// The name before the split.
    private var setName: String {
        for split in ImageDataSet.Split.allCases {
            guard let name = names.first(where: { Self.isPart($0, of: split) }) else { continue }
            return String(CompressedFile.plainName(name).dropLast(Self.ending(split).count))
        }
        return URL(fileURLWithPath: folder).standardized.lastPathComponent
    }

    /// The file of a split; nil where there is none.
    private func file(_ split: ImageDataSet.Split) throws -> String? {
        let found = names.filter { Self.isPart($0, of: split) }
        let distinct = Set(found.map(CompressedFile.plainName))
        guard distinct.count <= 1 else {
            throw CoppiceError(
                .badData, source: folder,
                "holds several sets (\(distinct.sorted().joined(separator: ", "))), expected one in each folder")
        }
        // Plain files sort before compressed ones.
        return found.min()
    }
}

/// The series of one file.
private struct SeriesTable {
    let path: String
    /// Values of each series.
    let length: Int
    /// The series one after the other.
    var values: [Float] = []
    /// Of each series.
    var labels: [String] = []
    /// Where each series stands.
    private var lines: [Int] = []

    /// - Throws: `.badData` naming the line that is empty of values, shorter or longer than others, or holds what is no
    ///   finite number; for a file without series.
    init(_ path: String) throws {
        self.path = path
        guard let text = String(data: try CompressedFile.read(path, limit: 1 << 32), encoding: .utf8) else {
            throw CoppiceError(.badData, source: path, "is not UTF-8 text, expected a series in each line")
        }
        let records = try DelimitedText.records(text, separator: "\t", isQuoted: false, source: path)
        guard let first = records.first else {
            throw CoppiceError(.badData, source: path, "is empty, expected a series in each line: label and values")
        }
        length = first.fields.count - 1
        for record in records {
            func failure(_ message: String) -> CoppiceError {
                CoppiceError(.badData, source: path, field: "line \(record.line)", message)
            }
            guard record.fields.count > 1 else {
                throw failure("has no values, expected a label and values with tabs between them")
            }
            guard record.fields.count == first.fields.count else {
                throw failure(
                    "has \(record.fields.count - 1) values, expected \(length) as in line \(first.line): series have "
                        + "one length")
            }
            guard let label = Self.label(record.fields[0]) else {
                throw failure("has the label \"\(record.fields[0].prefix(20))\", expected a word or a number")
            }
            for (index, field) in record.fields.dropFirst().enumerated() {
                guard let value = Float(field.trimmingCharacters(in: .whitespaces)), value.isFinite else {
                    throw failure("value \(index + 1) is \"\(field.prefix(20))\", expected a finite number")
                }
                values.append(value)
            }
            labels.append(label)
            lines.append(record.line)
        }
    }

    /// A label as its class is called: whole numbers without a point (`1.0000000e+00` is 1); nil for none.
    private static func label(_ field: String) -> String? {
        let word = field.trimmingCharacters(in: .whitespaces)
        guard let number = Double(word) else { return word.isEmpty ? nil : word }
        guard number.isFinite else { return nil }
        return number == number.rounded() && abs(number) < 1e15 ? String(Int(number)) : word
    }

    /// In the order of numbers where all are, else in that of the alphabet.
    var classNames: [String] {
        let names = Set(labels)
        let numbers = names.compactMap { name in Double(name).map { (name, $0) } }
        guard numbers.count == names.count else { return names.sorted() }
        return numbers.sorted { ($0.1, $0.0) < ($1.1, $1.0) }.map(\.0)
    }

    /// The class of each series.
    ///
    /// - Throws: `.badData` naming the line of a label that is no class.
    func places(in classNames: [String]) throws -> [Int] {
        let places = Dictionary(uniqueKeysWithValues: classNames.enumerated().map { ($1, $0) })
        return try zip(labels, lines).map { label, line in
            guard let place = places[label] else {
                throw CoppiceError(
                    .badData, source: path, field: "line \(line)",
                    "the label \"\(label.prefix(20))\" is no class of the training series, expected one of "
                        + classNames.prefix(20).joined(separator: ", "))
            }
            return place
        }
    }
}
