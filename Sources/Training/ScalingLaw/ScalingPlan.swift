import CoppiceTensors
import Foundation

/// How large a model to train, on how many tokens and how sparse, so that training and use together take the least
/// compute for a loss.
///
/// A model that is pruned while it is trained has the loss of its average size N̄, but is used at its final size d_f N₀,
/// which is smaller. So where much is generated, sparsity pays: of all (N̄, D) with L(N̄, D) = L*, the plan takes the one
/// with the least
///
/// 6 N̄ D + 2 (d_f N₀) D_inf
///
/// operations. In ln N̄ and ln D that is a convex problem, so its one minimum is found by bisection.
public struct ScalingPlan: Sendable, Hashable {
    /// What a sparsity comes to.
    public struct Option: Sendable, Hashable {
        /// The part of the weights that is gone in the end; 0: dense.
        public var finalSparsity: Double
        /// N̄.
        public var averageParameters: Double
        /// N₀: what training starts with.
        public var denseParameters: Double
        /// d_f N₀: what is left.
        public var finalParameters: Double
        /// D.
        public var tokens: Double
        /// 6 N̄ D.
        public var trainingOperations: Double
        /// 2 d_f N₀ D_inf.
        public var inferenceOperations: Double
        /// Nats a token.
        public var loss: Double

        public var operations: Double { trainingOperations + inferenceOperations }
    }

    /// Sparsities that the paper trained and that are compared by default.
    public static let studiedSparsities = [0, 0.2, 0.4, 0.6, 0.8]

    /// L*.
    public let loss: Double
    /// D_inf.
    public let inferenceTokens: Double
    /// One option for each sparsity, as they were given.
    public let options: [Option]

    /// The option that takes the least compute, and of equal ones the smallest model.
    public var best: Option {
        options.dropFirst().reduce(options[0]) { best, other in
            let margin = 1e-9 * best.operations
            if other.operations < best.operations - margin { return other }
            return other.operations <= best.operations + margin && other.finalParameters < best.finalParameters
                ? other : best
        }
    }

    /// Plans for the loss that a compute-optimal dense model reaches with so much training.
    ///
    /// - Parameter operations: of training, 6 N D.
    /// - Throws: as ``init(loss:law:inferenceTokens:sparsities:window:ramp:)``; `.usage` for operations that are not
    ///   above 0.
    public init(
        operations: Double, law: ScalingLaw, inferenceTokens: Double = 0, sparsities: [Double] = studiedSparsities,
        window: ComputePhaseSchedule.Window = .middle, ramp: SparsityRamp = .geometric
    ) throws {
        guard operations > 0, operations.isFinite else {
            throw CoppiceError(.usage, field: "compute", "\(operations), expected operations above 0")
        }
        let (parameters, tokens) = law.computeOptimum(operations: operations)
        try self.init(
            loss: law.loss(parameters: parameters, tokens: tokens), law: law, inferenceTokens: inferenceTokens,
            sparsities: sparsities, window: window, ramp: ramp)
    }

    /// Plans for a loss.
    ///
    /// - Throws: `.usage` for a loss that the law does not reach, a negative number of tokens, or sparsities outside
    ///   `[0, 1)`; `.badData` for a law whose numbers are not above 0.
    public init(
        loss: Double, law: ScalingLaw, inferenceTokens: Double = 0, sparsities: [Double] = studiedSparsities,
        window: ComputePhaseSchedule.Window = .middle, ramp: SparsityRamp = .geometric
    ) throws {
        let numbers = [law.parameterScale, law.tokenScale, law.parameterExponent, law.tokenExponent]
        guard numbers.allSatisfy({ $0 > 0 && $0.isFinite }), law.irreducibleLoss >= 0 else {
            throw CoppiceError(.badData, field: "law", "expected numbers above 0, found \(law)")
        }
        guard loss > law.irreducibleLoss, loss.isFinite else {
            throw CoppiceError(
                .usage, field: "loss", "\(loss), expected more than the law's irreducible \(law.irreducibleLoss)")
        }
        guard inferenceTokens >= 0, inferenceTokens.isFinite else {
            throw CoppiceError(.usage, field: "inference-tokens", "\(inferenceTokens), expected a number from 0")
        }
        guard !sparsities.isEmpty, sparsities.allSatisfy({ $0 >= 0 && $0 < 1 }) else {
            throw CoppiceError(.usage, field: "sparsities", "expected numbers from 0 to below 1")
        }
        self.loss = loss
        self.inferenceTokens = inferenceTokens
        options = sparsities.map { sparsity in
            let density = ComputePhaseSchedule.averageDensity(finalSparsity: sparsity, window: window, ramp: ramp)
            let ratio = (1 - sparsity) / density
            let (average, tokens) = Self.optimum(law, loss: loss, inferenceTokens: inferenceTokens, finalRatio: ratio)
            return Option(
                finalSparsity: sparsity, averageParameters: average, denseParameters: average / density,
                finalParameters: average * ratio, tokens: tokens, trainingOperations: 6 * average * tokens,
                inferenceOperations: 2 * average * ratio * inferenceTokens,
                loss: law.loss(parameters: average, tokens: tokens))
        }
    }

    /// The size and tokens of least compute at a loss.
    ///
    /// With x = ln N̄ and y = ln D(x), the tokens that the loss needs at that size, compute is
    /// 6 exp(x + y) + 2 r D_inf exp(x), convex in x; its derivative is zero where
    /// 3 exp(y) (1 + y') + r D_inf = 0 with y' = −(α A exp(−α x)) / (β B exp(−β y)).
    private static func optimum(
        _ law: ScalingLaw, loss: Double, inferenceTokens: Double, finalRatio: Double
    ) -> (parameters: Double, tokens: Double) {
        let room = loss - law.irreducibleLoss
        func tokens(_ x: Double) -> Double {
            pow(law.tokenScale / (room - law.parameterScale * exp(-law.parameterExponent * x)), 1 / law.tokenExponent)
        }
        func slope(_ x: Double) -> Double {
            let parameterTerm = law.parameterScale * exp(-law.parameterExponent * x)
            let tokenTerm = room - parameterTerm
            guard tokenTerm > 0 else { return -.infinity }
            let change = -law.parameterExponent * parameterTerm / (law.tokenExponent * tokenTerm)
            return 3 * tokens(x) * (1 + change) + finalRatio * inferenceTokens
        }
        // The smallest size whose loss is low enough with any number of tokens; compute falls from there, then rises.
        var low = log(law.parameterScale / room) / law.parameterExponent
        var high = low + 1
        while slope(high) < 0 { high += 1 }
        for _ in 0..<200 {
            let middle = (low + high) / 2
            if slope(middle) < 0 { low = middle } else { high = middle }
        }
        return (exp(high), tokens(high))
    }
}
