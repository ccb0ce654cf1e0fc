import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// Norms of a network's weights; those removed are zero and so do not count.
public struct WeightNorms: Sendable, Hashable {
    /// ‖W‖₁ of each weight tensor, in the network's order.
    public var l1OfEach: [Double]
    /// ‖W‖₂ of each.
    public var l2OfEach: [Double]

    /// O(N), summed in f64.
    public init(of network: Module) {
        self.init(of: network.parameters.map(\.parameter.wrappedValue))
    }

    init(l1OfEach: [Double], l2OfEach: [Double]) {
        self.l1OfEach = l1OfEach
        self.l2OfEach = l2OfEach
    }

    public init(of tensors: [Tensor]) {
        let sums = tensors.map { tensor in
            tensor.detached().withElements(Float.self) { elements in
                elements.reduce(into: (one: 0.0, two: 0.0)) { sums, value in
                    let wide = Double(value)
                    sums.one += wide.magnitude
                    sums.two += wide * wide
                }
            }
        }
        l1OfEach = sums.map(\.one)
        l2OfEach = sums.map { $0.two.squareRoot() }
    }

    /// The mean of ‖W‖₁ over tensors.
    public var l1: Double { l1OfEach.reduce(0, +) / Double(max(1, l1OfEach.count)) }
    /// The mean of ‖W‖₂ over tensors.
    public var l2: Double { l2OfEach.reduce(0, +) / Double(max(1, l2OfEach.count)) }

    /// The norm of all weights taken together.
    public func total(_ order: Order) -> Double {
        switch order {
        case .l1: l1OfEach.reduce(0, +)
        case .l2: l2OfEach.reduce(0) { $0 + $1 * $1 }.squareRoot()
        }
    }

    public enum Order: String, Sendable, Hashable, CaseIterable {
        case l1, l2
    }
}

/// A penalty on the norm of weights, `strength` · Σ |w|^p, added to the loss: the regularizer that decay is compared
/// with.
public final class NormPenalty: TrainingHook {
    public enum Power: String, Sendable, Hashable, CaseIterable {
        /// Σ |w|.
        case one = "l1"
        /// Σ w².
        case two = "l2"
    }

    private let network: any SupervisedNetwork
    private let power: Power
    private let strength: Double

    public init(_ network: any SupervisedNetwork, power: Power, strength: Double) {
        self.network = network
        self.power = power
        self.strength = strength
    }

    public func penalty(_ step: Int, batch: LabeledBatch, outputs: Tensor?) -> Tensor? {
        let sums = network.parameters.map { own in
            let value = own.parameter.wrappedValue
            return (power == .one ? value.abs() : value.square()).sum()
        }
        return sums.dropFirst().reduce(sums[0], +) * strength
    }
}
