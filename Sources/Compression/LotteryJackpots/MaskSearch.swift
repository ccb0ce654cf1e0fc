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
    /// Steps of the search; the rate falls over them as a cosine.
    public let steps: Int
    public let restriction: Restriction
    /// Scores of each prunable weight: f32 `[rows, columns]`.
    public private(set) var scores: [Tensor]
    /// Pairs of weights swapped at each step so far.
    public private(set) var swapCounts: [Int] = []

    private let learningRate: Double
    private let momentum: Double
    private let weightDecay: Double
    private var velocities: [Tensor]
    private var selections: [TrackedSelection]
    private let originals: [Tensor]

    /// - Parameters:
    ///   - network: with the first masks applied; each weight keeps as many entries as its mask does.
    ///   - originals: the trained weights before masks were applied, as matrices in the weights' order.
    ///   - learningRate: of scores, at the start. The paper: 0.1.
    ///   - weightDecay: of scores. The paper: 5 · 10⁻⁴ for CIFAR.
    public init(
        _ network: PrunableNetwork, originals: [Tensor], steps: Int, initialScores: InitialScores = .masks,
        restriction: Restriction = .poly4, learningRate: Double = 0.1, momentum: Double = 0.9,
        weightDecay: Double = 5e-4
    ) {
        precondition(steps > 0 && originals.count == network.weights.count, "no search")
        self.network = network
        self.steps = steps
        self.restriction = restriction
        self.learningRate = learningRate
        self.momentum = momentum
        self.weightDecay = weightDecay
        self.originals = originals.map { $0.detached().contiguous() }
        selections = network.weights.map { _ in TrackedSelection() }
        velocities = network.weights.map { Tensor.zeros([$0.rows, $0.columns]).contiguous() }
        switch initialScores {
        case .masks:
            scores = network.masks.map { ($0.indicator * 0.01 + 0.99).contiguous() }
        case .random(let seed):
            let criterion = RandomCriterion(seed: seed)
            scores = zip(network.weights, originals).map { weight, values in
                criterion.scores(of: values, name: weight.name, inputNorms: nil)
            }
            let kept = network.masks.map(\.keptCount)
            setMasks(zip(scores, kept).map { ExactSelection.mask($0, removing: $0.count - $1) })
        }
    }

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
            let loss = network.network.loss(source.batch(at: step))
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
        let rate = learningRate * 0.5 * (1 + cos(.pi * Double(step) / Double(steps)))
        let flow = try network.matrices(slopes, what: "gradient")
        var masks = network.masks
        var swaps = 0
        for index in masks.indices {
            move(index, slope: flow[index], rate: Float(rate))
            let threshold = selections[index].threshold(
                removing: masks[index].removedCount, of: [scores[index]])
            var ties = threshold.ties
            let best = ExactSelection.mask(scores[index], threshold: threshold, ties: &ties)
            let (mask, count) = Self.swapped(
                masks[index], best: best, scores: scores[index], part: restriction.part(at: step, of: steps))
            masks[index] = mask
            swaps += count
        }
        swapCounts.append(swaps)
        if swaps > 0 { setMasks(masks) }
    }

    /// A step of momentum of a weight's scores, in one pass.
    private func move(_ index: Int, slope: Tensor, rate: Float) {
        let (momentum, decay) = (Float(momentum), Float(weightDecay))
        slope.withElements(Float.self) { slope in
            originals[index].withElements(Float.self) { weights in
                velocities[index].withMutableElements(Float.self) { velocities in
                    scores[index].withMutableElements(Float.self) { scores in
                        for k in scores.indices {
                            velocities[k] = velocities[k] * momentum + (slope[k] * weights[k] + scores[k] * decay)
                            scores[k] -= velocities[k] * rate
                        }
                    }
                }
            }
        }
    }

    /// Sets masks, and kept weights to their trained values: a weight that returns has the value that it had.
    private func setMasks(_ masks: [WeightMask]) {
        for (parameter, values) in zip(network.parameters, originals) {
            parameter.wrappedValue = values.reshaped(parameter.wrappedValue.shape)
        }
        network.setMasks(masks)
    }

    /// The mask after swapping: of the n removed weights that score above the border and the n kept that do not, the
    /// ⌈part · n⌉ best enter and as many worst leave.
    ///
    /// - Complexity: O(N + n log n).
    static func swapped(
        _ mask: WeightMask, best: WeightMask, scores: Tensor, part: Double
    ) -> (mask: WeightMask, count: Int) {
        let entering = best.intersection(mask.complement)
        let wanted = entering.keptCount
        let count = min(wanted, Int((part * Double(wanted)).rounded(.up)))
        guard count > 0 else { return (mask, 0) }
        if count == wanted { return (best, count) }
        // Of those that enter, the highest scores; of those that leave, the lowest; the later and the earlier of equals.
        let leaving = mask.intersection(best.complement)
        var words = mask.words
        scores.withElements(Float.self) { scores in
            let inward = entering.keptPlaces.sorted { (scores[$0], $0) > (scores[$1], $1) }
            let outward = leaving.keptPlaces.sorted { (scores[$0], $0) < (scores[$1], $1) }
            for place in inward.prefix(count) { words[place / 64] |= 1 << UInt64(place % 64) }
            for place in outward.prefix(count) { words[place / 64] &= ~(1 << UInt64(place % 64)) }
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
