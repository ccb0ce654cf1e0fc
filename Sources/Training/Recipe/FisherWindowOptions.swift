import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// The options of the optimizer ``MFAC`` that no other has, as recipes say them.
public struct FisherWindowOptions: Sendable, Hashable {
    /// Gradients m of the window.
    public var gradients = 64
    /// λ.
    public var dampening = 1e-5
    /// Whether weights that are zero at the start stay zero and out of the window.
    public var isSparse = false

    /// What gradients are rounded to in the window.
    public var storage = GradientStorage.f32

    public init() {}

    package static let keys = ["gradients", "dampening", "sparse", "storage"]

    init(_ fields: [String: RecipeNode]) throws {
        if let count = try fields["gradients"]?.integer(in: 1...65_536) { gradients = count }
        if let dampening = try fields["dampening"]?.number(in: 1e-12...1000) { self.dampening = dampening }
        if let isSparse = try fields["sparse"]?.boolean() { self.isSparse = isSparse }
        if let storage = try fields["storage"]?.word(GradientStorage.self) { self.storage = storage }
    }

    func optimizer(momentum: Double, weightDecay: Double) -> MFAC {
        MFAC(
            window: gradients, dampening: dampening, momentum: momentum, weightDecay: weightDecay, isSparse: isSparse,
            storage: storage)
    }
}

extension Optimizer {
    /// A line about the memory of the window of gradients, before a run; nil for an optimizer without one.
    ///
    /// - Parameter source: the recipe.
    /// - Throws: `.usage` naming the recipe's key where the window takes more memory than is allowed.
    package func windowSummary(for network: Module, source: String?) throws -> String? {
        do {
            return try windowSummary(of: network.parameters.map(\.parameter))
        } catch let error as CoppiceError {
            throw CoppiceError(
                .usage, source: source, field: error.field.map { "optimizer.\($0)" } ?? "optimizer", error.message)
        }
    }
}
