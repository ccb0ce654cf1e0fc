import CoppiceNetworks
import CoppiceTensors

/// Something that acts on supervised training between its parts: masks, gates, schedules of sparsity.
public protocol TrainingHook: AnyObject {
    /// Before the forward pass of a step.
    func willStep(_ step: Int) throws

    /// Whether ``penalty(_:batch:outputs:)`` asks for the network's outputs.
    var readsOutputs: Bool { get }

    /// What is added to the loss of a step's batch, tracked; nil for nothing.
    ///
    /// - Parameter outputs: the network's outputs of the batch, where some hook reads them.
    func penalty(_ step: Int, batch: LabeledBatch, outputs: Tensor?) throws -> Tensor?

    /// What the forward pass may skip; nil for nothing. Asked once before each step.
    var sparseProducts: SparseProducts? { get }

    /// Whether ``willUpdate(_:gradients:)`` reads gradients of removed weights. Where no hook does, those of weights
    /// that ``sparseProducts`` leaves out are zero.
    var readsAllGradients: Bool { get }

    /// Before the update: gradients by the network's parameters, in its order, may be changed.
    func willUpdate(_ step: Int, gradients: inout [Tensor]) throws

    /// Between the gradients and the update: what the optimizer remembers may be changed.
    func willMove(_ step: Int, state: inout OptimizerState) throws

    /// After the update: parameters and the optimizer's slots may be changed.
    func didStep(_ step: Int, state: inout OptimizerState) throws
}

extension TrainingHook {
    public func willStep(_ step: Int) throws {}
    public var readsOutputs: Bool { false }
    public func penalty(_ step: Int, batch: LabeledBatch, outputs: Tensor?) throws -> Tensor? { nil }
    public var sparseProducts: SparseProducts? { nil }
    public var readsAllGradients: Bool { false }
    public func willUpdate(_ step: Int, gradients: inout [Tensor]) throws {}
    public func willMove(_ step: Int, state: inout OptimizerState) throws {}
    public func didStep(_ step: Int, state: inout OptimizerState) throws {}
}

extension SparseProducts {
    /// What the forward pass of a step may skip by all its hooks; nil where one reads the gradients of everything, and
    /// for nothing.
    init?(sharedBy hooks: [any TrainingHook]) {
        guard !hooks.contains(where: \.readsAllGradients) else { return nil }
        let all = hooks.compactMap(\.sparseProducts)
        guard let first = all.first else { return nil }
        self = all.dropFirst().reduce(first) { $0.merging($1) }
    }
}
