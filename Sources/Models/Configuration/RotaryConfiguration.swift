import Foundation

/// Rotary position embedding (Su et al., "RoFormer", 2021) and how its frequencies are scaled for long contexts.
public struct RotaryConfiguration: Sendable, Equatable {
    /// A scaling in use by published models; names and formulas are those of `transformers`.
    public enum Scaling: Sendable, Equatable {
        case none
        /// All frequencies divided by the factor (Chen et al. 2023).
        case linear(factor: Double)
        /// The base grows with the length of the text beyond the context (NTK-aware scaling).
        case dynamic(factor: Double)
        /// Long wavelengths divided by the factor, short ones kept, those between blended (Llama 3.1).
        case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContext: Int)
        /// Blend by the number of turns within the context, with scaled attention (Peng et al., "YaRN", 2023).
        case yarn(YarnScaling)
    }

    /// The parameters of YaRN.
    public struct YarnScaling: Sendable, Equatable {
        public var factor: Double
        public var originalContext: Int
        /// What cosines and sines are multiplied with; nil for 0.1 ln(factor) + 1.
        public var attentionFactor: Double?
        public var betaFast: Double
        public var betaSlow: Double
        /// Whether the bounds of the blend are rounded to whole dimensions.
        public var truncates: Bool

        public init(
            factor: Double, originalContext: Int, attentionFactor: Double? = nil, betaFast: Double = 32,
            betaSlow: Double = 1, truncates: Bool = true
        ) {
            self.factor = factor
            self.originalContext = originalContext
            self.attentionFactor = attentionFactor
            self.betaFast = betaFast
            self.betaSlow = betaSlow
            self.truncates = truncates
        }
    }

    public var base: Double
    public var scaling: Scaling
    /// Whether neighbouring elements (2i, 2i + 1) form the pairs, as in llama2.c, and not (i, i + size / 2).
    public var isInterleaved: Bool

    public init(base: Double = 10_000, scaling: Scaling = .none, isInterleaved: Bool = false) {
        self.base = base
        self.scaling = scaling
        self.isInterleaved = isInterleaved
    }

    /// Angles per position of each pair, and what cosines and sines are multiplied with.
    ///
    /// - Parameters:
    ///   - headSize: elements that are rotated; even.
    ///   - context: positions that the model is made for.
    ///   - length: positions of the text, on which dynamic scaling depends.
    public func frequencies(headSize: Int, context: Int, length: Int) -> (angles: [Double], amplitude: Double) {
        let size = Double(headSize)
        func plain(_ base: Double) -> [Double] {
            (0..<(headSize / 2)).map { 1 / pow(base, Double(2 * $0) / size) }
        }
        switch scaling {
        case .none:
            return (plain(base), 1)
        case .linear(let factor):
            return (plain(base).map { $0 / factor }, 1)
        case .dynamic(let factor):
            guard length > context else { return (plain(base), 1) }
            let stretch = factor * Double(length) / Double(context) - (factor - 1)
            return (plain(base * pow(stretch, size / (size - 2))), 1)
        case .llama3(let factor, let low, let high, let original):
            return (
                plain(base).map { angle in
                    let wavelength = 2 * Double.pi / angle
                    if wavelength < Double(original) / high { return angle }
                    if wavelength > Double(original) / low { return angle / factor }
                    let smooth = (Double(original) / wavelength - low) / (high - low)
                    return (1 - smooth) * angle / factor + smooth * angle
                }, 1
            )
        case .yarn(let yarn):
            // The dimension that turns so many times within the original context.
            func dimension(turns: Double) -> Double {
                size * log(Double(yarn.originalContext) / (turns * 2 * Double.pi)) / (2 * log(base))
            }
            var (low, high) = (dimension(turns: yarn.betaFast), dimension(turns: yarn.betaSlow))
            if yarn.truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
            (low, high) = (max(low, 0), min(high, size - 1))
            if low == high { high += 0.001 }
            let angles = plain(base).enumerated().map { index, angle in
                let ramp = min(1, max(0, (Double(index) - low) / (high - low)))
                return angle / yarn.factor * ramp + angle * (1 - ramp)
            }
            let amplitude = yarn.attentionFactor ?? (yarn.factor <= 1 ? 1 : 0.1 * log(yarn.factor) + 1)
            return (angles, amplitude)
        }
    }
}
