import CoppiceNetworks
import CoppiceTraining

/// What the stages of a recipe see of the data that a network in memory is compressed with: labelled images, or a text
/// whose every token is the label of those before it.
protocol StageData {
    /// What criteria look at, as many examples as the recipe says.
    ///
    /// - Throws: `.badData` for data of which there is too little.
    func samples(for recipe: Recipe) throws -> [LabeledBatch]

    /// Some examples in batches of at most `size`.
    ///
    /// - Throws: as ``samples(for:)``.
    func samples(_ count: Int, of size: Int, seed: UInt64) throws -> [LabeledBatch]

    /// A training's loop and its batches.
    ///
    /// - Parameter seed: of the order of examples.
    /// - Throws: `.usage` where there is nothing to train on.
    func loop(
        _ training: ClassificationRecipe, seed: UInt64
    ) throws -> (training: SupervisedTraining, source: any BatchSource)

    /// Accuracy on what reports are measured on; nil where they have none.
    func accuracy(of network: any SupervisedNetwork) -> Double?

    /// The data without a tenth of what is trained on, whose ``accuracy(of:)`` is that on this tenth; nil where accuracy
    /// is not measured.
    ///
    /// - Throws: `.usage` for data of which there is too little.
    func holdingOut(seed: UInt64) throws -> (any StageData)?
}

extension StageData {
    func holdingOut(seed: UInt64) throws -> (any StageData)? { nil }
}
