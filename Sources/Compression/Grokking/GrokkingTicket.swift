import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// Cutting the ticket of a grokking network, and the controls that tell structure from norm (Minegishi, Iwasawa and
/// Matsuo, "Bridging lottery ticket and grokking", 2023).
///
/// All weight tensors are masked together, embeddings included: one threshold for all of them.
public enum GrokkingTicket {
    /// The masks that keep the largest weights of a network as it is.
    ///
    /// - Parameter kept: κ, the fraction that is kept.
    /// - Throws: `.usage` for a fraction outside (0, 1]; `.badData` for weights that are not finite.
    public static func masks(of network: any SupervisedNetwork, kept: Double) throws -> [WeightMask] {
        try masks(of: network, kept: kept, by: .magnitude)
    }

    /// The masks that keep the weights with the largest scores of a network as it is; leaves it so.
    ///
    /// - Parameters:
    ///   - batches: what criteria that need data see.
    ///   - rounds: in how many rounds weights go, by the same factor each (SynFlow: 100).
    public static func masks(
        of network: any SupervisedNetwork, kept: Double, by criterion: any NetworkCriterion,
        batches: [LabeledBatch] = [], rounds: Int = 1
    ) throws -> [WeightMask] {
        try checkKept(kept)
        precondition(rounds > 0, "\(rounds) rounds")
        let before = Snapshot(of: network)
        defer { before.restore(network) }
        let prunable = try PrunableNetwork(network, includesEmbeddings: true)
        for round in 1...rounds {
            let left = pow(kept, Double(round) / Double(rounds))
            try prunable.prune(by: criterion, to: round == rounds ? 1 - kept : 1 - left, batches: batches)
        }
        return prunable.masks
    }

    /// Multiplies a dense network's weights so that their norm is that of what masks keep of them.
    ///
    /// - Parameter perTensor: whether each tensor gets the norm of its own part instead of all that of all.
    public static func matchNorm(
        of network: any SupervisedNetwork, to masks: [WeightMask], _ order: WeightNorms.Order, perTensor: Bool = false
    ) throws {
        let dense = WeightNorms(of: network)
        let before = Snapshot(of: network)
        let prunable = try PrunableNetwork(network, includesEmbeddings: true)
        prunable.setMasks(masks)
        let target = WeightNorms(of: network)
        before.restore(network)
        let whole = ratio(target.total(order), dense.total(order))
        for (index, own) in network.parameters.enumerated() {
            let each =
                order == .l1
                ? ratio(target.l1OfEach[index], dense.l1OfEach[index])
                : ratio(target.l2OfEach[index], dense.l2OfEach[index])
            let factor = perTensor ? each : whole
            own.parameter.update { for place in $0.indices { $0[place] = Float(Double($0[place]) * factor) } }
        }
    }

    /// How far two lists of masks of the same weights agree, over all of them.
    public static func agreement(_ first: [WeightMask], _ second: [WeightMask]) -> MaskAgreement {
        zip(first, second).map { MaskAgreement($0, $1) }.reduce(.zero, +)
    }

    static func checkKept(_ kept: Double) throws {
        guard kept > 0, kept <= 1 else {
            throw CoppiceError(.usage, field: "keep", "\(kept), expected a fraction above 0 and up to 1")
        }
    }

    private static func ratio(_ a: Double, _ b: Double) -> Double { b > 0 ? a / b : 1 }
}
