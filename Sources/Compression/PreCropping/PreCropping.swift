import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation

/// Chooses how wide each layer of an untrained network should be for a budget of parameters, of multiplications or of
/// both, in milliseconds and without data: a smaller dense network.
///
/// ```swift
/// let cropping = PreCropping(parameters: 80_000, rounding: 8)
/// let plan = try cropping.plan(for: VisionArchitecture(named: "resnet20"))
/// let network = plan.architecture.makeNetwork(seed: 1)
/// ```
///
/// Of any other network the channels that its forward pass couples are known, and can be cut:
///
/// ```swift
/// let groups = try ChannelGroups(of: network, example: images)
/// let plan = try cropping.plan(for: TracedStructure(groups))
/// let tensors = try groups.sliced(network, keeping: plan.kept)
/// ```
///
/// "Structured pruning is all you need for pruning CNNs at initialization" (PreCropping): the product of the layers'
/// densities stands for the signal that gets through, and the largest one within the budget is a convex programme. The
/// paper solves it for the densities of layers and turns these into channels; here the widths themselves are the
/// variables, so that shortcuts and channel-wise filters are what they are (``ChannelProgram``).
public struct PreCropping: Sendable, Hashable {
    /// Whether layers only shrink.
    public enum Mode: String, Sendable, Hashable, CaseIterable {
        /// Layers shrink (PreCrop).
        case crop
        /// Layers may also grow, and share the same budget out anew (PreConfig).
        case config
    }

    /// What stands for the signal that gets through.
    public enum Proxy: String, Sendable, Hashable, CaseIterable {
        /// Σ log p over all layers, one after the other: the paper's.
        case logSum = "log-sum"
        /// log E[R] of a residual network (``ResidualSignal``).
        case residual
    }

    /// The most trained numbers; nil for any.
    public var parameters: Int?
    /// The most multiplications with weights for one input; nil for any.
    public var multiplications: Int?
    public var mode: Mode
    public var proxy = Proxy.logSum
    /// Widths are multiples of it, but for those that stay as they are.
    public var rounding: Int
    /// How many times as wide a layer may become with ``Mode/config``.
    public var growth = 2.0

    /// - Precondition: at least one budget; a rounding of at least 1.
    public init(parameters: Int? = nil, multiplications: Int? = nil, mode: Mode = .crop, rounding: Int = 1) {
        precondition(parameters != nil || multiplications != nil, "a budget of nothing in particular")
        precondition(rounding >= 1, "widths rounded to \(rounding)")
        self.parameters = parameters
        self.multiplications = multiplications
        self.mode = mode
        self.rounding = rounding
    }

    /// The widths with the largest Σ log p within the budgets.
    ///
    /// With ``Proxy/residual``, log E[R], which is convex in the logarithms of widths: from the answer of Σ log p on, each
    /// programme maximizes its tangent at the last answer, so that it rises until the widths stay. That is a maximum among
    /// widths nearby.
    ///
    /// - Throws: `.badData` for a budget below what the least widths take, naming this number, and for an architecture
    ///   that has no widths, or no residual blocks where these are asked for.
    public func plan(for architecture: VisionArchitecture) throws -> CropPlan<ChannelStructure> {
        try plan(for: ChannelStructure(architecture))
    }

    /// The same for any structure. One whose network cannot become wider, as a traced one, knows no ``Mode/config``.
    ///
    /// - Throws: as for an architecture; `.usage` for ``Proxy/residual`` of a network that is none.
    public func plan<Structure: WidthStructure>(for structure: Structure) throws -> CropPlan<Structure> {
        var program = program(structure)
        try check(program)
        let signal = try signal(structure)
        var solution = try solved(program)
        for _ in 0..<Self.largestRounds {
            guard let signal else { break }
            program.layerWeights = signal.slopes(program.logDensities(solution.point))
            let next = try solved(program)
            let change = zip(next.point, solution.point).reduce(0) { max($0, abs($1.0 - $1.1)) }
            solution = next
            if change < 1e-6 { break }
        }
        return try plan(structure, program, solution.point, solution: solution, signal: signal)
    }

    private func signal(_ structure: some WidthStructure) throws -> ResidualSignal? {
        guard proxy == .residual else { return nil }
        guard let structure = structure as? ChannelStructure else {
            throw CoppiceError(
                .usage, field: "proxy", "residual needs an architecture whose blocks are known, expected log-sum")
        }
        return try ResidualSignal(structure)
    }

    /// Tangents of log E[R] at most; five or so do.
    private static let largestRounds = 50

    private func solved(_ program: ChannelProgram) throws -> GeometricProgram.Solution {
        try program.program(
            parameters: parameters.map(Double.init), multiplications: multiplications.map(Double.init)
        ).solve()
    }

    /// The widths whose layers are as dense, one against the other, as given, and that use the budgets up: rounded to the
    /// nearest as far as these allow.
    ///
    /// - Parameter densities: of layers, by the name of their weight; nil for one factor for all widths.
    /// - Throws: as ``plan(for:)-(VisionArchitecture)`` does.
    public func plan<Structure: WidthStructure>(
        for structure: Structure, densities: [String: Double]?
    ) throws -> CropPlan<Structure> {
        let program = program(structure)
        try check(program)
        let fitted =
            densities.map { DensityFit(program: program, densities: $0).point() }
            ?? structure.widths.map { _ in 0 }
        return try plan(structure, program, filled(fitted, program), solution: nil)
    }

    /// The densities of ``WaterFilling``: of layers on their own.
    ///
    /// - Returns: by the name of a layer's weight.
    public func layerDensities(_ structure: some WidthStructure) -> [String: Double] {
        let layers = structure.entries.filter(\.isWeight)
        let sizes = layers.map { Double($0.count(structure.widths)) }
        var budgets: [WaterFilling.Budget] = []
        if let parameters { budgets.append(.init(costs: sizes, limit: Double(parameters))) }
        if let multiplications {
            let costs = zip(sizes, layers).map { $0 * Double($1.uses) }
            budgets.append(.init(costs: costs, limit: Double(multiplications)))
        }
        let solution = WaterFilling(budgets, limit: mode == .crop ? 1 : growth).solve()
        return Dictionary(uniqueKeysWithValues: zip(layers.map(\.name), solution.densities))
    }

    /// The fraction of weights that a mask of the budget's size keeps.
    public func keptFraction(_ structure: some WidthStructure) -> Double {
        let parts = [
            parameters.map { Double($0) / Double(structure.parameterCount(structure.widths)) },
            multiplications.map { Double($0) / Double(structure.multiplications(structure.widths)) },
        ]
        return min(1, parts.compactMap { $0 }.min() ?? 1)
    }

    private func program(_ structure: some WidthStructure) -> ChannelProgram {
        ChannelProgram(structure, rounding: rounding, growth: mode == .crop ? 1 : growth)
    }

    private func check(_ program: ChannelProgram) throws {
        let structure = program.structure
        func require(_ field: String, _ budget: Int?, _ least: Int) throws {
            guard let budget else { return }
            guard budget >= least else {
                throw CoppiceError(
                    .badData, field: field,
                    "\(budget), expected at least \(least): what \(structure) takes with "
                        + (rounding == 1 ? "one channel" : "\(rounding) channels") + " of each width")
            }
        }
        try require("parameters", parameters, structure.parameterCount(program.least))
        try require("flops", multiplications, structure.multiplications(program.least))
    }

    /// Moves all logarithms by the same amount, within their bounds, until a budget is used up.
    private func filled(_ point: [Double], _ program: ChannelProgram) -> [Double] {
        let widths = program.structure.widths
        func moved(_ amount: Double) -> [Double] {
            point.indices.map { index in
                let low = log(Double(program.least[index]) / Double(widths[index]))
                let high = log(Double(program.most[index]) / Double(widths[index]))
                return min(high, max(low, point[index] + amount))
            }
        }
        let budgets = program.program(
            parameters: parameters.map(Double.init), multiplications: multiplications.map(Double.init)
        ).posynomials
        var (low, high) = (-40.0, 40.0)
        for _ in 0..<80 {
            let middle = (low + high) / 2
            let candidate = ordered(moved(middle), program)
            if budgets.allSatisfy({ $0.value(candidate) <= $0.limit }) { low = middle } else { high = middle }
        }
        return ordered(moved(low), program)
    }

    private func plan<Structure: WidthStructure>(
        _ structure: Structure, _ program: ChannelProgram, _ point: [Double], solution: GeometricProgram.Solution?,
        signal: ResidualSignal? = nil
    ) throws -> CropPlan<Structure> {
        let exact = program.widths(ordered(point, program))
        let rounded = WidthRounding(
            program, rounding: rounding, parameters: parameters, multiplications: multiplications)(
                exact, follows: solution == nil)
        guard let widths = rounded else { throw GeometricProgram.infeasible }
        return try CropPlan(
            structure: structure, widths: widths, exactWidths: exact, residual: solution?.residual,
            signal: signal)
    }

    /// The point with widths that must not get narrower raised where they would.
    private func ordered(_ point: [Double], _ program: ChannelProgram) -> [Double] {
        let widths = program.structure.widths
        var point = point
        for (lower, upper) in program.structure.ascents {
            point[upper] = max(point[upper], point[lower] + log(Double(widths[lower]) / Double(widths[upper])))
        }
        return point
    }
}
