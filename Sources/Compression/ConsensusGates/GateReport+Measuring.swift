import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

extension GatedNetwork {
    /// How open the gates are over batches, in use.
    ///
    /// - Throws: `.usage` without examples.
    /// - Complexity: one forward pass of each batch.
    public func measuredReport(on batches: some Sequence<LabeledBatch>) throws -> GateReport {
        var totals = blocks.map { [Double](repeating: 0, count: $0.gate.count) }
        var examples = 0
        decide(nil)
        inUse {
            for batch in batches where batch.count > 0 {
                _ = outputs(batch.inputs)
                examples += batch.count
                for (index, own) in blocks.enumerated() {
                    for (gate, mean) in (own.gate.means?.doubles() ?? []).enumerated() {
                        totals[index][gate] += mean * Double(batch.count)
                    }
                    own.gate.forget()
                }
            }
        }
        guard examples > 0 else {
            throw CoppiceError(.usage, field: "images", "are none, expected some for the gates to decide on")
        }
        return report(means: totals.map { $0.map { $0 / Double(examples) } })
    }
}
