import CoppiceNetworks
import CoppiceTensors

/// |w · ∂R/∂w|, with R the sum of the outputs for an input of ones when every parameter is replaced by its absolute
/// value and norms use their running statistics: the flow through the weight. No data.
///
/// Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow" (2020), equation
/// 3. Meant to be applied in many rounds (the paper: 100), which keeps layers from being emptied.
public struct SynapticFlowCriterion: NetworkCriterion {
    public static let name = "synflow"

    /// The shape of one example: `[channels, rows, columns]`, `[features]`.
    public var inputShape: [Int]

    public init(inputShape: [Int]) { self.inputShape = inputShape }

    public var needsData: Bool { false }

    /// Computed in f64, since the flow through many layers leaves the range of f32; scores are scaled so that the
    /// largest is one, which changes no comparison.
    ///
    /// - Complexity: one forward and backward pass of one example.
    public func scores(of network: PrunableNetwork, on batches: [LabeledBatch]) throws -> [Tensor] {
        let module = network.network
        let before = Snapshot(of: module)
        let all = module.parameters.map(\.parameter)
        let state = module.stateTensors.map(\.state)
        defer { before.restore(module) }
        for parameter in all { parameter.wrappedValue = parameter.wrappedValue.detached().converted(to: .f64).abs() }
        for tensor in state where tensor.wrappedValue.dataType.isFloatingPoint {
            tensor.wrappedValue = tensor.wrappedValue.converted(to: .f64)
        }
        let weights = network.parameters.map(\.wrappedValue)
        let total = module.withTraining(false) { module.outputs(.ones([1] + inputShape, dataType: .f64)).sum() }
        let flow = withoutRecording {
            zip(weights, gradients(of: total, withRespectTo: weights)).map { ($0.detached() * $1).abs() }
        }
        let largest = flow.map { $0.maximum().doubles()[0] }.max() ?? 0
        guard largest.isFinite else {
            throw CoppiceError(.badData, field: Self.name, "the flow through the network is not finite")
        }
        return flow.map { (largest > 0 ? $0 / largest : $0).converted(to: .f32) }
    }
}
