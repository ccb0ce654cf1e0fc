import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// Searches the mask of a trained network whose weights stay as they are: a score is learned for each weight, and the
/// best-scored are kept.
///
/// Zhang et al., "Lottery jackpots exist in pre-trained models" (2021). Scores start at 1 for weights that the first
/// masks keep and 0.99 for those they remove; their gradient is that of the mask by the straight-through estimator,
/// ∂L/∂(m ⊙ w) ⊙ w, for all weights, kept or not. After every step weights whose scores crossed the border are swapped,
/// of all n pairs the ⌈r n⌉ with the most to gain, where r falls as (1 − t / T)⁴ ("short restriction").
///
/// ```swift
/// try prunable.prune(by: .magnitude, to: 0.9)
/// let search = MaskSearch(prunable, steps: 780)
/// try search.run(on: batches)
/// ```
///
/// Everything but the masks and the norms' running statistics stays bit for bit.
public final class MaskSearch {
    /// How many of the pairs that want to be swapped are swapped at a step.
    public enum Restriction: String, Sendable, Hashable, CaseIterable {
        /// All.
        case none
        /// (1 − t / T)⁴ of them.
        case poly4
        /// (1 + cos(π t / T)) / 2 of them.
        case cosine

        /// The part r at step t of T.
        public func part(at step: Int, of total: Int) -> Double {
            let time = Double(step) / Double(max(1, total))
            switch self {
            case .none: return 1
            case .poly4: return pow(1 - time, 4)
            case .cosine: return (1 + cos(.pi * time)) / 2
            }
        }
    }

    /// Where scores start.
    public enum InitialScores: Sendable, Hashable {
        /// 1 for what the first masks keep, 0.99 for what they remove.
        case masks
        /// Uniform between 0 and 1; the masks follow from them.
        case random(seed: UInt64)
    }

    public let network: PrunableNetwork
    /// Steps of the search.
    public let steps: Int
    public let restriction: Restriction
    /// Pairs of weights swapped at each step so far.
    public private(set) var swapCounts: [Int] = []

    private let training: SupervisedTraining
    private var learned: LearnedScores
    private var selections: [TrackedSelection]
    private let originals: [Tensor]

    /// - Parameters:
    ///   - network: with the first masks applied; each weight keeps as many entries as its mask does.
    ///   - originals: the trained weights before masks were applied, as matrices in the weights' order.
    ///   - learningRate: of scores, the largest. The paper: 0.1.
    ///   - weightDecay: of scores. The paper: 5 · 10⁻⁴ for CIFAR.
    ///   - training: how the rate goes over the steps (its own peak does not count), how far the gradient by the scores is
    ///     clipped, labels are smoothed and products rounded; nil: a cosine to zero, and nothing of the others.
    public init(
        _ network: PrunableNetwork, originals: [Tensor], steps: Int, initialScores: InitialScores = .masks,
        restriction: Restriction = .poly4, learningRate: Double = 0.1, momentum: Double = 0.9,
        weightDecay: Double = 5e-4, training: SupervisedTraining? = nil
    ) {
        precondition(steps > 0 && originals.count == network.weights.count, "no search")
        self.network = network
        self.steps = steps
        self.restriction = restriction
        // The paper's cosine reaches zero after the last step, that of training at it.
        var own =
            training
            ?? SupervisedTraining(
                optimizer: SGD(momentum: momentum, weightDecay: weightDecay),
                rates: LearningRateSchedule(
                    kind: .cosine, peak: learningRate, warmupSteps: 0, minimumRatio: 0, totalSteps: steps + 1))
        own.rates.peak = learningRate
        self.training = own
        self.originals = originals.map { $0.detached().contiguous() }
        selections = network.weights.map { _ in TrackedSelection() }
        let scores: [Tensor]
        switch initialScores {
        case .masks: scores = network.masks.map { ($0.indicator * 0.01 + 0.99).contiguous() }
        case .random(let seed):
            let criterion = RandomCriterion(seed: seed)
            scores = zip(network.weights, originals).map { weight, values in
                criterion.scores(of: values, name: weight.name, inputNorms: nil)
            }
            let masks = zip(scores, network.masks).map { ExactSelection.mask($0, removing: $1.removedCount) }
            network.setMasks(masks, values: self.originals)
        }
        learned = LearnedScores(scores, momentum: momentum, decay: weightDecay, decideBySize: false)
    }

    /// Scores of each prunable weight: f32 `[rows, columns]`.
    public var scores: [Tensor] { learned.values }

    /// Searches through all steps. Running statistics of norms follow the masked network.
    ///
    /// - Parameter progress: told each step and the loss of its batch in nats.
    /// - Throws: `.badData` for a gradient that is not finite; what `progress` throws.
    /// - Complexity: a step is one forward and backward pass, and O(N).
    public func run(
        on source: any BatchSource, progress: (_ step: Int, _ loss: Double) throws -> Void = { _, _ in }
    ) throws {
        network.network.setTraining(true)
        for step in 0..<steps {
            let loss = training.loss(of: network.network, source.batch(at: step))
            let slopes = gradients(of: loss, withRespectTo: network.parameters.map(\.wrappedValue))
            let value = Double(loss.scalar)
            guard value.isFinite else {
                throw CoppiceError(.badData, "the loss of search step \(step) is \(value), expected a finite number")
            }
            try withoutRecording { try update(slopes, step) }
            try progress(step, value)
        }
    }

    /// One step of the scores, and of the masks.
    private func update(_ slopes: [Tensor], _ step: Int) throws {
        let rate = training.rates.rate(at: step)
        let flow = try clipped(network.matrices(slopes))
        var masks = network.masks
        var swaps = 0
        for index in masks.indices {
            try learned.move(
                index, weights: originals[index], slope: flow[index], mask: masks[index], rate: rate,
                name: network.weights[index].name)
            let threshold = selections[index].threshold(
                removing: masks[index].removedCount, of: [learned.values[index]])
            var ties = threshold.ties
            let best = ExactSelection.mask(learned.values[index], threshold: threshold, ties: &ties)
            let (mask, count) = Self.swapped(
                masks[index], best: best, scores: learned.values[index], part: restriction.part(at: step, of: steps))
            masks[index] = mask
            swaps += count
        }
        swapCounts.append(swaps)
        // A weight that returns has the value that it had.
        if swaps > 0 { network.setMasks(masks, values: originals, isShown: true) }
    }

    /// The gradients by the masked weights, times what clips those by the scores.
    ///
    /// - Throws: `.badData` naming a weight whose gradient is not finite.
    private func clipped(_ flow: [Tensor]) throws -> [Tensor] {
        guard training.clipNorm != nil else { return flow }
        for (slope, weight) in zip(flow, network.weights) {
            try ExactSelection.checkFinite(slope, name: "\(weight.name) (gradient)")
        }
        let scale = training.gradientScale(zip(flow, originals).map { $0 * $1 })
        return scale < 1 ? flow.map { $0 * scale } : flow
    }

    /// The mask after swapping: of the n removed weights that score above the border and the n kept that do not, the
    /// ⌈part · n⌉ best enter and as many worst leave.
    ///
    /// - Complexity: O(N).
    package static func swapped(
        _ mask: WeightMask, best: WeightMask, scores: Tensor, part: Double
    ) -> (mask: WeightMask, count: Int) {
        let entering = best.intersection(mask.complement)
        let wanted = entering.keptCount
        let count = min(wanted, WholeShare.up(part, of: wanted))
        guard count > 0 else { return (mask, 0) }
        if count == wanted { return (best, count) }
        // Of those that enter, the highest scores; of those that leave, the lowest; the later and the earlier of equals.
        let leaving = mask.intersection(best.complement)
        var words = mask.words
        scores.withElements(Float.self) { scores in
            let (inward, outward) = (entering.keptPlaces, leaving.keptPlaces)
            // Of equal scores a selection removes the earliest.
            func best(_ places: [Int], removing removed: Int) -> WeightMask {
                ExactSelection.mask(Tensor(places.map { scores[$0] }, shape: [1, places.count]), removing: removed)
            }
            let enters = best(inward, removing: wanted - count)
            for (index, place) in inward.enumerated() where enters[0, index] {
                words[place / 64] |= 1 << UInt64(place % 64)
            }
            let stays = best(outward, removing: count)
            for (index, place) in outward.enumerated() where !stays[0, index] {
                words[place / 64] &= ~(1 << UInt64(place % 64))
            }
        }
        return (WeightMask(rows: mask.rows, columns: mask.columns, words: words), count)
    }
}

extension WeightMask {
    /// Places of the kept weights, row-major. O(words + kept).
    fileprivate var keptPlaces: [Int] {
        var places: [Int] = []
        for (index, word) in words.enumerated() {
            var left = word
            while left != 0 {
                places.append(index * 64 + left.trailingZeroBitCount)
                left &= left - 1
            }
        }
        return places
    }
}
