import CoppiceTensors

/// Prunes a model block by block, each behind the already pruned prefix: the order of Wanda and SparseGPT.
///
/// For each block: run the calibration windows through it and gather the norms of every linear layer's input; let
/// the caller choose masks; apply them; run the windows again through the pruned block, whose outputs are the next
/// block's inputs. Sun et al., "A Simple and Effective Pruning Approach for Large Language Models" (2023), section 3.
///
/// In memory are one block's weights, the hidden states of all windows (samples · length · hidden · 4 bytes) and, where
/// they are asked for, the second moments of the block's inputs.
public struct BlockSequentialPruning {
    /// What the caller is asked with.
    public struct Block {
        /// Position of the block.
        public var index: Int
        /// The block with its matrices as they are now.
        public var block: any ModelBlock
        /// ‖X_j‖₂ of each observed matrix's inputs.
        public var inputNorms: [String: [Float]]
        /// Second moments of the inputs of those matrices that they were asked for, once for all that see the same ones.
        public var inputMoments: [(names: [String], moments: InputMoments)]
    }

    private var hidden: [Tensor]
    private let model: any BlockwiseModel
    private let namesOfMoments: Set<String>

    /// Embeds the windows.
    ///
    /// - Parameter names: the matrices whose inputs' second moments are gathered too.
    public init(
        _ model: any BlockwiseModel, windows: CalibrationWindows, momentsOf names: Set<String> = []
    ) throws {
        self.model = model
        namesOfMoments = names
        hidden = try windows.windows.map(model.embed)
    }

    /// Walks through all blocks.
    ///
    /// - Parameters:
    ///   - prepare: called with each block before it runs, to apply what earlier stages decided.
    ///   - masks: the masks of those matrices of a block that are pruned.
    /// - Complexity: two forward passes over the windows.
    public mutating func run(
        prepare: (_ block: any ModelBlock) throws -> Void = { _ in },
        masks: (_ block: Block) throws -> [String: WeightMask]
    ) throws {
        let asked = namesOfMoments
        for index in 0..<model.blockCount {
            let block = try model.block(index)
            try prepare(block)
            var norms: [String: ColumnNorms] = [:]
            var moments = SharedInputMoments()
            for window in hidden {
                moments.beginWindow()
                _ = try block.run(window) { name, input in
                    norms[name, default: ColumnNorms()].add(input)
                    if asked.contains(name) { moments.add(input, of: name) }
                }
            }
            moments.beginWindow()  // Lets go of the last input.
            let masks = try masks(
                Block(
                    index: index, block: block, inputNorms: norms.mapValues(\.norms), inputMoments: moments.groups))
            for (name, mask) in masks {
                var matrix = block.matrix(name)
                mask.apply(to: &matrix)
                block.setMatrix(name, to: matrix)
            }
            // The last block's output feeds nothing.
            guard index + 1 < model.blockCount else { return }
            for window in hidden.indices { hidden[window] = try block.run(hidden[window], observe: nil) }
        }
    }
}
