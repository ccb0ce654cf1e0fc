import CoppiceNetworks
import CoppiceTensors

/// What gates multiply in a residual block.
public enum GateMode: String, Sendable, Hashable, CaseIterable {
    /// The whole branch, by one number; where that is zero, the block is the identity.
    case layer
    /// Each channel between the block's first and second convolution.
    case channel
}

/// What a gate says of a batch.
public enum GateFactors {
    /// The block computes as if it had no gate.
    case open
    /// Nothing is added to what the block sees.
    case closed
    /// What each image's branch is multiplied by: `[images, 1]`, or `[1, 1]` for all alike.
    case branches(Tensor)
    /// What each channel is multiplied by: `[images, channels]`, or `[1, channels]` for all images alike.
    case channels(Tensor)
}

/// Opens and closes the branch of a residual block, or single channels of it.
public protocol BlockGate: Module {
    var mode: GateMode { get }
    /// What the block's branch is multiplied by, from the block's input `[images, channels, rows, columns]`. Keeps
    /// ``means`` of the batch.
    func factors(_ input: Tensor) -> GateFactors
    /// Whether a branch is computed only for the images that it is open for. Then a closed branch has no gradient that
    /// could open it again, and its norms see only those images.
    var isLazy: Bool { get }

    /// Gates: 1, or the block's channels.
    var count: Int { get }
    /// How open each gate was in the last pass, from 0 to 1, over its images: `[count]`, tracked in training. Nil before
    /// the first pass and after ``forget()``.
    var means: Tensor? { get }
    /// Drops ``means`` and all that they were computed from.
    func forget()
    /// Decisions that hold for every image; nil where the gate decides.
    var decisions: [Bool]? { get set }
    /// The running average of ``means`` in training: `[count]`.
    var runningMeans: Tensor { get }
    /// How often each gate's running average has come back to one half or more: `[count]`, i64.
    var reopenings: Tensor { get }
    /// Makes what is drawn next a function of the gate and the step, so that training can be resumed.
    func begin(step: Int)
}

extension BlockGate {
    /// What decisions say, for a gate that has some.
    func decided(_ decisions: [Bool]) -> GateFactors {
        if mode == .layer { return decisions[0] ? .open : .closed }
        if decisions.allSatisfy({ $0 }) { return .open }
        return .channels(Tensor(decisions.map { $0 ? Float(1) : 0 }, shape: [1, decisions.count]))
    }

    /// The branch f of a block times a factor of each image, computed for those that it is open for; nil where it is closed
    /// for all of them.
    func multiplied(_ factors: Tensor, _ x: Tensor, _ branch: (Tensor) -> Tensor) -> Tensor? {
        func each(_ factors: Tensor) -> Tensor { factors.reshaped([-1, 1, 1, 1]) }
        let open = factors.floats().enumerated().filter { $0.element != 0 }.map(\.offset)
        guard !open.isEmpty else { return nil }
        // A norm in training needs two values of each channel.
        let isEnough = open.count > 1 || x.shape[2] * x.shape[3] > 1
        guard open.count < x.shape[0], isEnough else { return branch(x) * each(factors) }
        let chosen = Tensor(open)
        let part = branch(x.take(chosen)) * each(factors.take(chosen))
        // One image of zeros stands for all that are closed.
        var places = [Int](repeating: open.count, count: x.shape[0])
        for (place, image) in open.enumerated() { places[image] = place }
        let zero = Tensor.zeros([1] + part.shape.dropFirst(), dataType: part.dataType)
        return Tensor.concatenated([part, zero]).take(Tensor(places)).laidOutForConvolutions()
    }
}

/// A residual block whose branch can be gated.
public protocol GateableBlock: Module {
    /// Nil where the block computes as published.
    var gate: (any BlockGate)? { get set }
    /// Channels of the block's input.
    var inputChannels: Int { get }
    /// Channels between the first and the second convolution.
    var middleChannels: Int { get }
}
