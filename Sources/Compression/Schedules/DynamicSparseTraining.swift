import CoppiceTensors
import CoppiceTraining
import Foundation

/// Trains a network that is sparse from the start and lets its connections move: every so many steps some of each
/// weight's smallest entries are dropped and as many grow elsewhere in it, from zero.
///
/// - Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity" (SET, 2018):
///   a constant part is dropped, random places grow.
/// - Evci et al., "Rigging the lottery: making all tickets winners" (RigL, 2020): a part that falls as a cosine is
///   dropped, the places with the largest gradient grow.
///
/// The masks that the network has at first give each weight's sparsity for good.
public final class DynamicSparseTraining: MaskHolding {
    /// Where connections grow.
    public enum Growth: Sendable, Hashable {
        /// At random places: SET.
        case random(seed: UInt64)
        /// Where the loss's gradient by the absent weight is largest: RigL.
        case gradient
    }

    public let network: PrunableNetwork
    public let growth: Growth
    /// The part of a weight's kept entries that is dropped: at all updates for random growth, at the first for growth
    /// by gradient.
    public let dropFraction: Double
    /// Steps between updates.
    public let interval: Int
    /// The step from which masks no longer change.
    public let lastStep: Int
    /// Connections that have moved so far.
    public private(set) var movedCount = 0

    /// - Parameters:
    ///   - dropFraction: SET and RigL: 0.3.
    ///   - lastStep: RigL: three quarters of training.
    public init(
        _ network: PrunableNetwork, growth: Growth, dropFraction: Double = 0.3, interval: Int = 100, lastStep: Int
    ) {
        precondition((0...1).contains(dropFraction) && interval > 0, "nothing to drop")
        self.network = network
        self.growth = growth
        self.dropFraction = dropFraction
        self.interval = interval
        self.lastStep = lastStep
    }

    /// The part that is dropped at a step: RigL's (α / 2)(1 + cos(π t / T)), SET's constant.
    public func dropFraction(at step: Int) -> Double {
        guard case .gradient = growth else { return dropFraction }
        return dropFraction / 2 * (1 + cos(.pi * Double(step) / Double(lastStep)))
    }

    /// The gradient of this step's batch decides where connections grow.
    public var readsAllGradients: Bool { true }

    public func willUpdate(_ step: Int, gradients: inout [Tensor]) {
        defer { network.applyMasks(toGradients: &gradients) }
        guard step > 0, step < lastStep, step % interval == 0 else { return }
        let part = dropFraction(at: step)
        var masks = network.masks
        for index in masks.indices where masks[index].removedCount > 0 {
            let weight = network.weights[index]
            let slope = gradients[network.places[index]].detached().contiguous().reshaped([weight.rows, weight.columns])
            masks[index] = moved(masks[index], values: network.values(index), slope: slope, part: part, index, step)
        }
        network.setMasks(masks)
    }

    private func moved(
        _ mask: WeightMask, values: Tensor, slope: Tensor, part: Double, _ index: Int, _ step: Int
    ) -> WeightMask {
        // What is dropped does not grow back at once, so no more than the absent ones may move.
        let count = min(WholeShare.down(part, of: mask.keptCount), mask.removedCount)
        guard count > 0 else { return mask }
        movedCount += count
        var magnitudes = values.abs()
        mask.fillRemoved(of: &magnitudes, with: -1)
        let remaining = ExactSelection.mask(magnitudes, removing: mask.removedCount + count)
        var merits =
            switch growth {
            case .gradient: slope.abs()
            case .random(let seed):
                RandomCriterion(seed: seed &+ UInt64(step)).scores(
                    of: values, name: network.weights[index].name, inputNorms: nil)
            }
        // Only places that were absent before compete.
        mask.complement.fillRemoved(of: &merits, with: -1)
        let grown = ExactSelection.mask(merits, removing: mask.count - count)
        return remaining.union(grown)
    }
}
