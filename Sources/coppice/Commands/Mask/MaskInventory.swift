import CoppiceCompression
import CoppiceModels

/// What a mask file keeps of each matrix: what `inspect` shows of one.
struct MaskInventory {
    let path: String
    let file: MaskFile

    var json: JSON {
        .object([
            "mask": .string(path), "model_digest": .string(file.modelDigest), "weights": .integer(file.count),
            "kept": .integer(file.count - file.removedCount), "sparsity": .number(file.sparsity),
            "matrices": .array(
                file.entries.map { entry in
                    .object([
                        "name": .string(entry.name),
                        "shape": .array([.integer(entry.mask.rows), .integer(entry.mask.columns)]),
                        "kept": .integer(entry.mask.keptCount), "sparsity": .number(entry.mask.sparsity),
                    ])
                }), "statistics": .integer(file.statistics.count),
        ])
    }

    /// A summary and a table, one matrix a line; what is removed is drawn as a bar.
    var text: String {
        func cells(_ name: String, _ shape: String, kept: Int, removed sparsity: Double) -> [String] {
            [name, shape, "\(kept)", Output.number(sparsity * 100, digits: 1) + " %", TextTable.bar(sparsity)]
        }
        let table = TextTable(
            head: [("matrix", .left), ("shape", .left), ("kept", .right), ("removed", .right), ("", .left)],
            rows: file.entries.map {
                cells(
                    $0.name, "\($0.mask.rows) × \($0.mask.columns)", kept: $0.mask.keptCount, removed: $0.mask.sparsity)
            } + [cells("total", "\(file.count)", kept: file.count - file.removedCount, removed: file.sparsity)])
        let statistics = file.statistics.isEmpty ? "" : ", running statistics of \(file.statistics.count) vectors"
        return
            (["mask of \(file.entries.count) matrices of the model \(file.modelDigest.prefix(12))…\(statistics)", ""]
            + table.lines).joined(separator: "\n")
    }
}
