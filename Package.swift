// swift-tools-version: 6.1
import PackageDescription

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "coppice",
    products: [
        .executable(name: "coppice", targets: ["coppice"]),
        .library(
            name: "Coppice",
            targets: [
                "CoppiceTensors", "CoppiceNetworks", "CoppiceFormats", "CoppiceModels", "CoppiceCompression",
                "CoppiceTraining", "CoppiceInference", "CoppiceServing", "CoppiceEvidence",
            ]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.1.0"),
        .package(url: "https://github.com/apple/swift-numerics", from: "1.0.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.80.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.20.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.0.0"),
        .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.4.0"),
    ],
    targets: [
        // Floor 0: inner loops and system libraries.
        .target(name: "CKernels", path: "Sources/CKernels"),
        .systemLibrary(
            name: "CSystemBLAS", path: "Sources/CSystemBLAS", providers: [.apt(["libopenblas-dev", "liblapacke-dev"])]),
        .systemLibrary(name: "CSystemDNNL", path: "Sources/CSystemDNNL", providers: [.apt(["libdnnl-dev"])]),
        .systemLibrary(name: "CSystemPNG", path: "Sources/CSystemPNG", providers: [.apt(["libpng-dev"])]),
        // Floor 1.
        .target(
            name: "CoppiceTensors", dependencies: ["CKernels", "CSystemBLAS", "CSystemDNNL"], path: "Sources/Tensors"),
        // Floor 2.
        .target(name: "CoppiceNetworks", dependencies: ["CoppiceTensors", "CKernels"], path: "Sources/Networks"),
        .target(name: "CoppiceFormats", dependencies: ["CoppiceTensors", "CKernels"], path: "Sources/Formats"),
        // Floor 3.
        .target(
            name: "CoppiceModels",
            dependencies: [
                "CoppiceNetworks", "CoppiceFormats", .product(name: "Yams", package: "Yams"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ], path: "Sources/Models"),
        // Floor 4.
        .target(
            name: "CoppiceTraining",
            dependencies: [
                "CoppiceNetworks", "CoppiceModels", "CKernels", "CSystemPNG",
                .product(name: "GRDB", package: "GRDB.swift"),
            ], path: "Sources/Training"),
        .target(
            name: "CoppiceInference",
            dependencies: [
                "CoppiceModels", "CKernels", .product(name: "OrderedCollections", package: "swift-collections"),
            ], path: "Sources/Inference"),
        .target(
            name: "CoppiceCompression", dependencies: ["CoppiceTraining", "CKernels"], path: "Sources/Compression"),
        // Floor 5.
        .target(
            name: "CoppiceServing",
            dependencies: [
                "CoppiceInference", .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "OrderedCollections", package: "swift-collections"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Logging", package: "swift-log"),
            ], path: "Sources/Serving"),
        .target(
            name: "CoppiceEvidence",
            dependencies: ["CoppiceCompression", "CoppiceInference"], path: "Sources/Evidence"),
        // Floor 6.
        .executableTarget(
            name: "coppice",
            dependencies: [
                "CoppiceServing", "CoppiceEvidence", "CKernels", "CSystemBLAS", "CSystemDNNL", argumentParser,
                .product(name: "Logging", package: "swift-log"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ],
            path: "Sources/coppice",
            resources: [.copy("Resources/tales"), .copy("Resources/sample-tales.txt")]),
        .testTarget(
            name: "TensorsTests", dependencies: ["CoppiceTensors", "CoppiceNetworks", "CKernels"],
            path: "Tests/TensorsTests"),
        .testTarget(
            name: "NetworksTests", dependencies: ["CoppiceNetworks", "CoppiceTensors"], path: "Tests/NetworksTests"),
        .testTarget(
            name: "CompressionTests",
            dependencies: ["CoppiceCompression", "CoppiceTraining", "CoppiceModels", "CKernels"],
            path: "Tests/CompressionTests"),
        .testTarget(
            name: "InferenceTests",
            dependencies: ["CoppiceInference", "CoppiceModels", "CoppiceFormats", "CKernels"],
            path: "Tests/InferenceTests"),
        .testTarget(
            name: "InterchangeTests",
            dependencies: ["CoppiceInference", "CoppiceModels", "CoppiceFormats", "CKernels"],
            path: "Tests/InterchangeTests"),
        .testTarget(
            name: "EvidenceTests", dependencies: ["CoppiceEvidence", "CoppiceModels"], path: "Tests/EvidenceTests"),
        .testTarget(name: "ModelsTests", dependencies: ["CoppiceModels"], path: "Tests/ModelsTests"),
        .testTarget(
            name: "FormatsTests", dependencies: ["CoppiceFormats", "CKernels"], path: "Tests/FormatsTests"),
        .testTarget(name: "ProgramTests", dependencies: ["coppice", "CoppiceModels"], path: "Tests/ProgramTests"),
        .testTarget(
            name: "ServingTests",
            dependencies: [
                "CoppiceServing", .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Logging", package: "swift-log"),
            ], path: "Tests/ServingTests"),
        .testTarget(
            name: "TrainingTests", dependencies: ["CoppiceTraining", "CoppiceModels", "CKernels"],
            path: "Tests/TrainingTests"),
    ],
    swiftLanguageModes: [.v6]
)
