import ArgumentParser
import CoppiceModels
import CoppiceTraining

/// The columns of a file of texts with labels.
struct LabelledArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Columns of the texts of a file with labels, one or two (default: such as text, sentence, or sentence1,sentence2).",
            valueName: "a,b"))
    var textColumns: String?
    @Option(help: ArgumentHelp("The column of the label (default: such as label).", valueName: "name"))
    var labelColumn: String?

    mutating func validate() throws {
        if !(1...2).contains(columns.texts.count), textColumns != nil {
            throw ValidationError("--text-columns: expected one name or two, found \(columns.texts.count)")
        }
    }

    var columns: LabelledTexts.Columns {
        .init(texts: textColumns.map { $0.split(separator: ",").map(String.init) } ?? [], label: labelColumn)
    }

    /// The options that are given.
    var given: [(name: String, isGiven: Bool)] {
        [("--text-columns", textColumns != nil), ("--label-column", labelColumn != nil)]
    }

    /// Reads a file for a classifier.
    ///
    /// - Throws: what reading the file and the classifier's labels throws.
    func read(_ path: String, for checkpoint: EncoderCheckpoint) throws -> LabelledTexts {
        try LabelledTexts.read(path, labels: checkpoint.labels(), columns: columns)
    }
}
