import CoppiceTensors

/// A model that can be run one block after the other, with only one block's weights in memory.
public protocol BlockwiseModel {
    /// Number of blocks.
    var blockCount: Int { get }

    /// The input of the first block.
    ///
    /// - Returns: f32 hidden states, one row a token.
    func embed(_ tokens: [Int]) throws -> Tensor

    /// Loads a block.
    func block(_ index: Int) throws -> any ModelBlock
}

/// A block of a ``BlockwiseModel`` in memory, whose matrices can be replaced.
public protocol ModelBlock: AnyObject {
    /// Checkpoint names of the matrices of the block's linear layers, in checkpoint order.
    var matrixNames: [String] { get }

    /// A matrix of the block, f32 `[outputs, inputs]`.
    func matrix(_ name: String) -> Tensor

    /// Replaces a matrix by one of the same shape.
    func setMatrix(_ name: String, to values: Tensor)

    /// The block's output for one window.
    ///
    /// - Parameters:
    ///   - hidden: the previous block's output for the window.
    ///   - observe: called with the name of each linear layer's matrix and the layer's input, f32 with one row of
    ///     inputs a token (leading dimensions of one aside).
    func run(_ hidden: Tensor, observe: ((_ name: String, _ input: Tensor) -> Void)?) throws -> Tensor
}
