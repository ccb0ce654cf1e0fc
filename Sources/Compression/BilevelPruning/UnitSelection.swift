import CoppiceNetworks
import CoppiceTensors

/// Which filters or input channels of convolutions are kept: those whose scores have the largest norm, of each
/// convolution the same part, or of each group of channels that go together.
struct UnitSelection {
    let unit: MaskUnit
    /// The part of each layer's units that is kept.
    let kept: Double
    let weights: [PrunableWeight]
    /// Channels that are cut out of the network; nil: units of each convolution by itself.
    let coupled: CoupledUnits?
    /// Of each weight, whether it has units; it stays whole otherwise.
    private let hasUnits: [Bool]

    /// - Throws: `.usage` where there are no convolutions.
    init(
        _ unit: MaskUnit, kept: Double, of network: PrunableNetwork, channels: ChannelGroups?
    ) throws {
        self.unit = unit
        self.kept = kept
        weights = network.weights
        coupled = try channels.map { try CoupledUnits($0, unit: unit, weights: network.weights) }
        hasUnits = network.parameters.map { $0.wrappedValue.rank > 2 }
        guard hasUnits.contains(true) else {
            throw CoppiceError(.usage, field: "unit", "\(unit.rawValue), but no prunable weight is a convolution's")
        }
    }

    /// Weights that are kept where each convolution is by itself: ⌈keep · n⌉ of its n units, all of what is none.
    var keptCount: Int {
        weights.indices.reduce(0) { sum, index in
            let layout = layout(index)
            return sum + (hasUnits[index] ? keptUnits(of: layout[1]) * layout[0] * layout[2] : layout.reduce(1, *))
        }
    }

    private func layout(_ index: Int) -> [Int] {
        let weight = weights[index]
        return unit.layout(rows: weight.rows, columns: weight.columns, kernelElements: weight.kernelElements)
    }

    /// ⌈keep · n⌉ of a layer's n units; the small constant takes back what rounding adds to keep · n.
    private func keptUnits(of count: Int) -> Int {
        min(count, max(1, Int((kept * Double(count) - 1e-9).rounded(.up))))
    }

    /// The masks of the units whose scores have the largest norms, and the channels that stay where they are coupled.
    ///
    /// - Parameter gated: groups of channels whose weights are not masked.
    func masks(_ scores: [Tensor], except gated: Set<Int>) -> (masks: [WeightMask], channels: KeptChannels?) {
        guard let coupled else { return (weights.indices.map { mask($0, scores[$0]) }, nil) }
        let channels = coupled.kept(scores) { keptUnits(of: $0) }
        return (coupled.masks(channels, except: gated), channels)
    }

    private func mask(_ index: Int, _ scores: Tensor) -> WeightMask {
        let weight = weights[index]
        guard hasUnits[index] else { return WeightMask(keepingAllOf: weight.rows, weight.columns) }
        let layout = layout(index)
        let norms = MaskUnit.norms(scores.reshaped(layout)).reshaped([1, layout[1]]).contiguous()
        let best = ExactSelection.mask(norms, removing: layout[1] - keptUnits(of: layout[1]))
        let kept = (0..<weight.count).map { best[0, $0 / layout[2] % layout[1]] }
        return WeightMask(rows: weight.rows, columns: weight.columns, kept: kept)
    }

    /// The gradient of each weight's scores, given that by its mask: masks follow the norm of a unit's scores. Nil for
    /// weights without units.
    func scoreGradients(
        maskGradients: [Tensor], scores: [Tensor], gateGradients: [Int: [Double]]
    ) -> [Tensor?] {
        if let coupled {
            return coupled.scoreGradients(maskGradients: maskGradients, scores: scores, gateGradients: gateGradients)
        }
        return weights.indices.map { index in
            guard hasUnits[index] else { return nil }
            let layout = layout(index)
            return MaskUnit.scoreGradient(
                maskGradient: maskGradients[index].reshaped(layout), scores: scores[index].reshaped(layout)
            ).reshaped(scores[index].shape)
        }
    }
}
