import CoppiceCompression
import CoppiceTensors

/// Two blocks, each relu(x Aᵀ) Bᵀ + x: small enough to compute by hand.
final class ToyBlock: ModelBlock {
    let first: String
    let second: String
    var matrices: [String: Tensor]
    var matrixNames: [String] { [first, second] }

    init(_ index: Int, _ generator: inout SeededGenerator) {
        first = "model.layers.\(index).up_proj.weight"
        second = "model.layers.\(index).down_proj.weight"
        matrices = [first: generator.matrix(12, 8), second: generator.matrix(8, 12)]
    }

    func matrix(_ name: String) -> Tensor { matrices[name] ?? Tensor(uninitialized: [0, 0]) }
    func setMatrix(_ name: String, to values: Tensor) { matrices[name] = values }

    func run(_ hidden: Tensor, observe: ((String, Tensor) -> Void)?) -> Tensor {
        observe?(first, hidden)
        let inner = product(hidden, matrix(first))
        let activated = Tensor(inner.floats().map { max(0, $0) }, shape: inner.shape)
        observe?(second, activated)
        let out = product(activated, matrix(second))
        return Tensor(zip(out.floats(), hidden.floats()).map { $0 + $1 }, shape: hidden.shape)
    }

    private func product(_ x: Tensor, _ w: Tensor) -> Tensor {
        let (n, k, m) = (x.shape[0], x.shape[1], w.shape[0])
        let (a, b) = (x.floats(), w.floats())
        return Tensor(
            (0..<(n * m)).map { i in (0..<k).reduce(Float(0)) { $0 + a[i / m * k + $1] * b[i % m * k + $1] } },
            shape: [n, m])
    }
}

struct ToyModel: BlockwiseModel {
    let blocks: [ToyBlock]
    let embedding: Tensor

    init() {
        var generator = SeededGenerator(seed: 31)
        blocks = [ToyBlock(0, &generator), ToyBlock(1, &generator)]
        embedding = generator.matrix(10, 8)
    }

    var blockCount: Int { blocks.count }
    func embed(_ tokens: [Int]) -> Tensor {
        let rows = embedding.floats()
        return Tensor(tokens.flatMap { rows[($0 * 8)..<($0 * 8 + 8)] }, shape: [tokens.count, 8])
    }
    func block(_ index: Int) -> any ModelBlock { blocks[index] }
}

extension ToyModel {
    /// The blocks' matrices as a source of weights.
    var weights: InMemoryWeights {
        InMemoryWeights(blocks.flatMap { block in block.matrixNames.map { ($0, block.matrix($0)) } })
    }
}
