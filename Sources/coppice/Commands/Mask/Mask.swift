import ArgumentParser

/// `coppice mask`: masks on their own, one bit a weight.
struct Mask: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take the mask of a sparse model, compare masks, apply one to the model that it belongs to.",
        discussion: """
            A mask file has a bit for each weight and the SHA-256 of the matrices that it belongs to: beside one dense \
            model it stands for a sparse one. analyze sparsity --masks writes such files too.
            """,
        subcommands: [MaskExtract.self, MaskDiff.self, MaskApply.self])
}
