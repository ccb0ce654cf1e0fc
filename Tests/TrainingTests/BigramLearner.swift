import CoppiceTensors
import CoppiceTraining
import Foundation

/// A table of next-token logits trained by AdamW: a learner whose mathematics fits on a page, for tests of the loop.
final class BigramLearner: LanguageModelLearner {
    let vocabularySize: Int
    var parameterCount: Int { table.count }
    private(set) var table: [Float]
    private var gradient: [Double]
    private var first: [Float]
    private var second: [Float]
    /// Random seeds of the passes so far.
    private(set) var seeds: [UInt64] = []
    /// What the loss is from this pass on.
    var failure: (pass: Int, loss: Double)?
    /// The update after which a parameter is NaN.
    var brokenUpdate: Int?
    /// Called before each pass and each validation batch.
    var willRun: () -> Void = {}

    init(vocabularySize: Int) {
        self.vocabularySize = vocabularySize
        table = (0..<(vocabularySize * vocabularySize)).map { Float(sin(Double($0))) * 0.1 }
        gradient = .init(repeating: 0, count: table.count)
        first = .init(repeating: 0, count: table.count)
        second = first
    }

    private func pass(_ batch: TokenBatch, _ visit: (Int, Int, [Double]) -> Void) -> Double {
        var sum = 0.0
        for (input, target) in zip(batch.inputs, batch.targets) {
            let row = table[(Int(input) * vocabularySize)..<((Int(input) + 1) * vocabularySize)].map(Double.init)
            let largest = row.max() ?? 0
            let exponentials = row.map { exp($0 - largest) }
            let total = exponentials.reduce(0, +)
            sum -= log(exponentials[Int(target)] / total)
            visit(Int(input), Int(target), exponentials.map { $0 / total })
        }
        return sum / Double(batch.count)
    }

    func accumulate(_ batch: TokenBatch, weight: Double, randomSeed: UInt64) throws -> Double {
        willRun()
        seeds.append(randomSeed)
        let scale = weight / Double(batch.count)
        let loss = pass(batch) { input, target, probabilities in
            for (token, probability) in probabilities.enumerated() {
                gradient[input * vocabularySize + token] += scale * (probability - (token == target ? 1 : 0))
            }
        }
        if let failure, seeds.count >= failure.pass { return failure.loss }
        return loss
    }

    func gradientNorm() -> Double { gradient.reduce(0) { $0 + $1 * $1 }.squareRoot() }

    func update(learningRate: Double, gradientScale: Double, step: Int) {
        for i in table.indices {
            let g = gradient[i] * gradientScale
            first[i] = Float(0.9 * Double(first[i]) + 0.1 * g)
            second[i] = Float(0.99 * Double(second[i]) + 0.01 * g * g)
            let mean = Double(first[i]) / (1 - pow(0.9, Double(step + 1)))
            let variance = Double(second[i]) / (1 - pow(0.99, Double(step + 1)))
            table[i] -= Float(learningRate * mean / (variance.squareRoot() + 1e-8))
            gradient[i] = 0
        }
        if brokenUpdate == step { table[1] = .nan }
    }

    func loss(_ batch: TokenBatch) throws -> Double {
        willRun()
        return pass(batch) { _, _, _ in }
    }

    func parameters() -> [NamedTensor] {
        [NamedTensor("table", Tensor(table, shape: [vocabularySize, vocabularySize]))]
    }

    func optimizerState() -> [NamedTensor] {
        [NamedTensor("first", Tensor(first)), NamedTensor("second", Tensor(second))]
    }

    func restore(_ tensors: [String: Tensor], source: String) throws {
        for (name, path) in [("table", \BigramLearner.table), ("first", \.first), ("second", \.second)]
            as [(String, ReferenceWritableKeyPath<BigramLearner, [Float]>)]
        {
            guard let tensor = tensors[name], tensor.count == self[keyPath: path].count else {
                throw CoppiceError(.badData, source: source, field: name, "is missing")
            }
            self[keyPath: path] = tensor.floats()
        }
    }
}
