import CoppiceNetworks
import CoppiceTensors
import Foundation

/// A gate that is the same for every image and learns how probable it is to be open: the hard concrete distribution
/// (Louizos et al., "Learning sparse neural networks through L0 regularization", 2018, section 2.2).
public final class HardConcreteGate: Module, BlockGate, TrainingModeDependent {
    /// log α: [count].
    @Parameter public var logAlpha: Tensor
    @StateTensor public var runningMeans: Tensor
    @StateTensor public var reopenings: Tensor
    public let mode: GateMode
    public let count: Int
    public let isLazy = false
    public var isTraining = true
    public var decisions: [Bool]?
    public private(set) var means: Tensor?
    private let seed: UInt64
    private var noise: RandomGenerator

    /// The paper's β, γ and ζ.
    static let (temperature, low, high) = (2.0 / 3, -0.1, 1.1)

    /// - Parameter logAlpha: at first.
    public init(mode: GateMode, count: Int, logAlpha: Double = 2, seed: UInt64) {
        _logAlpha = Parameter("log_alpha", .full([count], logAlpha))
        _runningMeans = StateTensor("running_means", .ones([count]))
        _reopenings = StateTensor("reopenings", .zeros([count], dataType: .i64))
        self.mode = mode
        self.count = count
        self.seed = seed
        noise = RandomGenerator(seed: seed)
        super.init()
        $logAlpha.decays = false
    }

    public func begin(step: Int) { noise = RandomGenerator(seed: seed &+ UInt64(step) &* 0x9E37_79B9_7F4A_7C15) }

    public func forget() { means = nil }

    /// The probability of each gate not to be zero (equation 12): [count].
    public var openProbabilities: Tensor {
        (logAlpha - Self.temperature * Foundation.log(-Self.low / Self.high)).sigmoid()
    }

    /// What each gate is in use (equation 13): [count].
    public var expectedFactors: Tensor { Self.stretched(logAlpha.sigmoid()) }

    private static func stretched(_ s: Tensor) -> Tensor { (s * (high - low) + low).clamped(0, 1) }

    public func factors(_ input: Tensor) -> GateFactors {
        if let decisions { return decided(decisions) }
        var factors = expectedFactors
        if isTraining {
            let drawn = GateEstimator.noise([count], using: &noise)
            factors = Self.stretched(((drawn + logAlpha) / Self.temperature).sigmoid())
            runningMeans = openProbabilities.detached()
        }
        means = openProbabilities
        factors = factors.reshaped([1, count])
        return mode == .layer ? .branches(factors) : .channels(factors)
    }
}
