import CoppiceCompression
import CoppiceModels

/// Figures of arms of a comparison.
extension [PruningComparison.Outcome] {
    /// The share of each layer that arms keep at a sparsity, of the first seed; none where no arm was measured there.
    ///
    /// - Parameters:
    ///   - sizes: weights of the layers.
    ///   - layers: their names.
    func layerIllustration(
        id: String, title: String, arms: [String], at sparsity: Double, sizes: [Int], layers: [String]
    ) -> [ExperimentReport.Illustration] {
        let own = arms.compactMap { arm in first { $0.arm == arm && $0.sparsity == sparsity } }
        guard let seed = own.first?.seed, !sizes.isEmpty else { return [] }
        let shares = own.map { outcome in
            (name: outcome.arm, values: zip(outcome.kept, sizes).map { Double($0) / Double($1) })
        }
        return [
            .layers(
                id: id, title: title, layers: layers, shares: shares,
                caption: "Seed \(seed), \(MarkupText.percent(sparsity, places: 0)) removed.")
        ]
    }

    /// Loss against step of arms at a sparsity, of the first seed.
    func losses(_ arms: [String], at sparsity: Double) -> [LossCurve] {
        arms.compactMap { arm in first { $0.arm == arm && $0.sparsity == sparsity }?.losses }
    }

    /// Loss against step at a sparsity.
    func lossIllustration(
        id: String = "loss", _ network: String, arms: [String], at sparsity: Double
    ) -> [ExperimentReport.Illustration] {
        let part = MarkupText.percent(sparsity, places: 0)
        return losses(arms, at: sparsity).illustration(
            id: id, title: "\(network): loss while training at \(part)",
            caption: "Seed \(first?.seed ?? 0); training after pruning, with the masks held.")
    }
}

extension ExperimentReport.Illustration {
    /// The share of each layer's weights that several networks keep: bars, or lines where layers are many.
    static func layers(
        id: String, title: String, layers: [String], shares: [(name: String, values: [Double])], caption: String
    ) -> Self {
        let summary = "Share of each layer's weights that is kept, by way of sharing out."
        let figure: any Figure =
            layers.count <= 6
            ? BarChart(
                title: title, summary: summary, categories: layers, verticalTitle: "share kept",
                series: shares.map { .init(name: $0.name, values: $0.values) }, label: .percent)
            : LineChart(
                title: title, summary: summary, horizontalTitle: "layer, from the input on",
                verticalTitle: "share kept",
                series: shares.map { own in
                    .init(name: own.name, points: own.values.enumerated().map { (Double($0.offset + 1), $0.element) })
                })
        return .init(id: id, figure, caption: caption)
    }
}

extension PrunableNetwork {
    /// The share that masks keep of each weight, of this network's by default.
    func keptShares(of masks: [WeightMask]? = nil) -> [Double] {
        (masks ?? self.masks).map { Double($0.keptCount) / Double(max(1, $0.count)) }
    }
}
