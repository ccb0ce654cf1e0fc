import CoppiceTensors
import Foundation

/// How the power of an embedding is spread over frequencies of the token axis: a network that has learned modular
/// addition holds few (Nanda et al., "Progress measures for grokking via mechanistic interpretability", 2023).
public struct FourierSpectrum: Sendable, Hashable {
    /// The power of frequencies 0 ... ⌊tokens / 2⌋ summed over columns, those above folded onto them. Adds up to the sum
    /// of squares of the embedding (Parseval).
    public var power: [Double]

    /// - Parameter embedding: f32 `[tokens, size]`.
    /// - Complexity: O(tokens² · size) in f64.
    public init(of embedding: Tensor) {
        precondition(embedding.rank == 2 && embedding.shape[0] > 0, "no embedding of shape \(embedding.shape)")
        let (tokens, size) = (embedding.shape[0], embedding.shape[1])
        let values = embedding.detached().doubles()
        let turns = (0..<tokens).map { 2 * Double.pi * Double($0) / Double(tokens) }
        let (cosines, sines) = (turns.map { cos($0) }, turns.map { sin($0) })
        power = (0...(tokens / 2)).map { frequency in
            var (real, imaginary) = ([Double](repeating: 0, count: size), [Double](repeating: 0, count: size))
            for token in 0..<tokens {
                let turn = frequency * token % tokens
                let (c, s) = (cosines[turn], sines[turn])
                for column in 0..<size {
                    let value = values[token * size + column]
                    real[column] += c * value
                    imaginary[column] += s * value
                }
            }
            let sum = zip(real, imaginary).reduce(0) { $0 + $1.0 * $1.0 + $1.1 * $1.1 } / Double(tokens)
            // The frequency tokens − k mirrors k, except where they are the same.
            return frequency == 0 || 2 * frequency == tokens ? sum : 2 * sum
        }
    }

    /// `frequency,power`: a header and one line a frequency.
    public var csv: String {
        (["frequency,power"] + power.enumerated().map { "\($0.offset),\($0.element)" }).joined(separator: "\n") + "\n"
    }

    /// The sum of squares of the embedding.
    public var total: Double { power.reduce(0, +) }

    /// How many frequencies hold a share of the power that is not constant, the strongest first.
    public func dominantCount(share: Double = 0.9) -> Int {
        let ranked = power.dropFirst().sorted(by: >)
        let whole = ranked.reduce(0, +)
        guard whole > 0 else { return 0 }
        var sum = 0.0
        for (index, part) in ranked.enumerated() {
            sum += part
            if sum >= share * whole { return index + 1 }
        }
        return ranked.count
    }
}
