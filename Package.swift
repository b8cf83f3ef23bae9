// swift-tools-version: 6.2
// statex: post-training state expansion for recurrent language models on CPU clusters.
//
// The rooms and the order in which they may depend on each other are described in
// docs/architecture.md. C libraries are imported in exactly one room each.

import Foundation
import PackageDescription

/// The instruction set to optimise for: `native` (the building machine) unless the Makefile
/// variable `MARCH` says otherwise, for example `make build MARCH=x86-64-v3`.
let march = ProcessInfo.processInfo.environment["STATEX_MARCH"] ?? "native"

/// Settings shared by every room.
let common: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  // Without errno a square root is one instruction, and loops with it vectorize.
  .unsafeFlags(["-Xcc", "-march=\(march)", "-Xcc", "-fno-math-errno"]),
]

/// Rooms that never handle raw pointers.
let safe: [SwiftSetting] = common + [.strictMemorySafety()]

/// Rooms whose business is raw memory: the only ones in which `unsafe` needs no marking.
let pointers: [SwiftSetting] = common

let argumentParser: Target.Dependency = .product(
  name: "ArgumentParser", package: "swift-argument-parser")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
  name: "statex",
  products: [
    .executable(name: "statex", targets: ["statex"]),
    .executable(name: "statex-train", targets: ["statex-train"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // C libraries.
    .systemLibrary(name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(
      name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),

    // Rooms, bottom first.
    .target(name: "ErrorReporting", swiftSettings: safe),
    .target(name: "ProgramVersion", swiftSettings: safe),
    .target(name: "Threads", swiftSettings: pointers),
    .target(
      name: "TensorStorage", dependencies: ["ErrorReporting"], swiftSettings: pointers),
    .target(name: "Files", dependencies: ["ErrorReporting", system], swiftSettings: pointers),
    .target(name: "JSON", dependencies: ["Files"], swiftSettings: pointers),
    .target(
      name: "Fields", dependencies: ["ErrorReporting", "Files", "JSON"], swiftSettings: safe),
    .target(
      name: "TensorFiles", dependencies: ["ErrorReporting", "Files", "JSON"],
      swiftSettings: pointers),
    .target(name: "ReferenceKernels", swiftSettings: safe),
    .target(
      name: "TrainingMetrics", dependencies: ["ErrorReporting", "Files", "JSON"],
      swiftSettings: safe),
    .target(
      name: "Kernels",
      dependencies: ["COpenBLAS", "COneDNN", "ErrorReporting", "TensorStorage"],
      swiftSettings: pointers),
    .target(
      name: "Collectives", dependencies: ["CMPI", "ErrorReporting"], swiftSettings: pointers),
    .target(name: "Watchdog", dependencies: ["Threads"], swiftSettings: pointers),
    .target(
      name: "Compression", dependencies: ["CZlib", "CZstd", "CXXHash", "ErrorReporting", "Files"],
      swiftSettings: pointers),
    .target(
      name: "TokenData",
      dependencies: [
        "Compression", "ErrorReporting", "Fields", "Files", "JSON", "ProgramVersion",
        "TensorStorage",
        "Threads",
      ],
      swiftSettings: pointers),
    .target(
      name: "RecallTasks",
      dependencies: [
        "Compression", "ErrorReporting", "Fields", "Files", "TensorStorage", "TokenData",
      ],
      swiftSettings: pointers),
    .target(
      name: "Layers",
      dependencies: ["ErrorReporting", "Kernels", "ReferenceKernels", "TensorStorage"],
      swiftSettings: pointers),
    .target(
      name: "Optimizers", dependencies: ["ErrorReporting", "Kernels", "TensorStorage"],
      swiftSettings: pointers),
    .target(
      name: "Checkpointing",
      dependencies: [
        "Compression", "ErrorReporting", "Fields", "Files", "JSON", "TensorFiles", "TensorStorage",
        "Threads",
      ],
      swiftSettings: pointers),
    .target(
      name: "LanguageModels",
      dependencies: [
        "ErrorReporting", "Layers", "Files", "Kernels", "ReferenceKernels", "TensorStorage",
      ],
      swiftSettings: pointers),
    .target(
      name: "DataParallel",
      dependencies: ["Collectives", "ErrorReporting", "Kernels", "TensorStorage"],
      swiftSettings: pointers),
    .target(
      name: "StateExpansion",
      dependencies: ["ErrorReporting", "LanguageModels", "Layers", "TensorStorage"],
      swiftSettings: pointers),
    .target(
      name: "HuggingFaceInterop",
      dependencies: [
        "Compression", "ErrorReporting", "Fields", "Files", "JSON", "LanguageModels", "Layers",
        "ProgramVersion", "TensorFiles", "TensorStorage",
      ],
      exclude: ["README.md"], resources: [.embedInCode("Python")],
      swiftSettings: pointers),
    .target(
      name: "Evaluation",
      dependencies: [
        "Compression", "ErrorReporting", "Fields", "Files", "JSON", "Kernels", "LanguageModels",
        "Layers", "RecallTasks", "TensorFiles", "TensorStorage", "TokenData",
      ],
      swiftSettings: pointers),
    .target(
      name: "Training",
      dependencies: [
        "Checkpointing", "Collectives", "Compression", "DataParallel", "ErrorReporting",
        "Evaluation", "Fields", "Files", "HuggingFaceInterop", "JSON", "Kernels",
        "LanguageModels", "Layers", "Optimizers", "ProgramVersion", "RecallTasks",
        "StateExpansion", "TensorFiles", "TensorStorage", "TokenData", "TrainingMetrics",
        "Watchdog", yams, logging,
      ],
      swiftSettings: pointers),

    .target(name: "Charts", swiftSettings: safe),
    .target(
      name: "Reports",
      dependencies: [
        "Charts", "Checkpointing", "ErrorReporting", "Evaluation", "Files", "HuggingFaceInterop",
        "JSON", "LanguageModels", "RecallTasks", "Training", "TrainingMetrics",
      ],
      swiftSettings: common),
    .target(
      name: "CommandSupport",
      dependencies: ["ErrorReporting", "Kernels", argumentParser],
      swiftSettings: common),

    // Commands.
    .executableTarget(
      name: "statex",
      dependencies: [
        "Charts", "Checkpointing", "Collectives", "CommandSupport", "Evaluation", "Fields", "Files",
        "HuggingFaceInterop", "JSON", "Kernels", "LanguageModels", "ProgramVersion", "RecallTasks",
        "Reports", "StateExpansion", "TensorFiles", "TensorStorage", "TokenData", "Training",
        argumentParser,
      ],
      swiftSettings: common),
    .executableTarget(
      name: "statex-train",
      dependencies: [
        "Collectives", "CommandSupport", "ErrorReporting", "ProgramVersion", "Training",
        argumentParser, logging,
      ],
      swiftSettings: common),

    // Tests, one target a room.
    .target(
      name: "ThreadedParts", dependencies: ["Kernels"], path: "Tests/ThreadedParts",
      swiftSettings: common),
    .testTarget(
      name: "TensorStorageTests", dependencies: ["TensorStorage"], swiftSettings: common),
    .testTarget(
      name: "ErrorReportingTests", dependencies: ["ErrorReporting"], swiftSettings: common),
    .testTarget(name: "FilesTests", dependencies: ["Files"], swiftSettings: common),
    .testTarget(name: "FieldsTests", dependencies: ["Fields", "JSON"], swiftSettings: common),
    .testTarget(name: "ThreadsTests", dependencies: ["Threads"], swiftSettings: common),
    .testTarget(name: "JSONTests", dependencies: ["Files", "JSON"], swiftSettings: common),
    .testTarget(
      name: "TensorFilesTests", dependencies: ["Files", "JSON", "TensorFiles", "TensorStorage"],
      swiftSettings: common),
    .testTarget(
      name: "KernelsTests", dependencies: ["Kernels", "ReferenceKernels", "TensorStorage"],
      swiftSettings: common),
    .testTarget(
      name: "LayersTests",
      dependencies: ["Layers", "Kernels", "TensorStorage", "ThreadedParts"],
      swiftSettings: common),
    .testTarget(
      name: "RecallTasksTests",
      dependencies: ["Fields", "RecallTasks", "TokenData"], swiftSettings: common),
    .testTarget(
      name: "TokenDataTests",
      dependencies: ["TokenData", "Fields", "Files", "RecallTasks", "Compression"],
      swiftSettings: common),
    .testTarget(
      name: "TrainingMetricsTests", dependencies: ["Files", "TrainingMetrics"],
      swiftSettings: common),
    .testTarget(name: "ChartsTests", dependencies: ["Charts"], swiftSettings: common),
    .testTarget(name: "WatchdogTests", dependencies: ["Watchdog"], swiftSettings: common),
    .testTarget(
      name: "CompressionTests", dependencies: ["Compression", "Files"], swiftSettings: common),
    .testTarget(
      name: "CheckpointingTests",
      dependencies: [
        "Checkpointing", "Compression", "Files", "JSON", "TensorFiles", "TensorStorage",
      ],
      swiftSettings: common),
    .testTarget(
      name: "HuggingFaceInteropTests",
      dependencies: [
        "Files", "HuggingFaceInterop", "JSON", "LanguageModels", "Layers", "ProgramVersion",
        "TensorFiles",
        "TensorStorage",
      ],
      swiftSettings: common),
    .testTarget(
      name: "StateExpansionTests",
      dependencies: [
        "StateExpansion", "Kernels", "LanguageModels", "Layers", "Optimizers", "TensorStorage",
      ],
      swiftSettings: common),
    .testTarget(
      name: "LanguageModelsTests",
      dependencies: [
        "Files", "HuggingFaceInterop", "LanguageModels", "Layers", "Kernels", "Optimizers",
        "TensorFiles", "TensorStorage", "ThreadedParts",
      ],
      swiftSettings: common),
    .testTarget(
      name: "EvaluationTests",
      dependencies: [
        "Evaluation", "Fields", "HuggingFaceInterop", "JSON", "Kernels", "LanguageModels", "Layers",
        "RecallTasks", "TensorStorage", "TokenData",
      ],
      swiftSettings: common),
    .testTarget(
      name: "CommandSupportTests",
      dependencies: ["CommandSupport", "ErrorReporting", argumentParser], swiftSettings: common),
    .testTarget(
      name: "CommandTests",
      dependencies: [
        "Checkpointing", "ChildPrograms", "HuggingFaceInterop", "JSON", "LanguageModels", "Layers",
        "TensorFiles",
        "TensorStorage", "TokenData",
      ],
      swiftSettings: common),
    .testTarget(
      name: "TrainingTests",
      dependencies: [
        "Training", "ChildPrograms", "Evaluation", "Fields", "Files", "HuggingFaceInterop",
        "JSON", "Kernels", "LanguageModels", "Layers", "Optimizers", "TensorStorage", "TokenData",
        "ToyOptimizers", "TrainingMetrics", logging,
      ],
      swiftSettings: common),
    .testTarget(
      name: "DataParallelTests", dependencies: ["DataParallel", "TensorStorage"],
      swiftSettings: common),
    .testTarget(
      name: "OptimizersTests", dependencies: ["Optimizers", "TensorStorage"],
      swiftSettings: common),

    // The programs, started as users start them, and a look inside a step.
    .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
    .executableTarget(
      name: "training-probe",
      dependencies: [
        "CAllocationCounter", "Collectives", "DataParallel", "Kernels", "LanguageModels", "Layers",
        "TensorStorage", "TokenData", "Training", logging,
      ],
      path: "Tests/TrainingProbe", swiftSettings: common),
    .executableTarget(
      name: "tokenizer-probe", dependencies: ["TokenData"], path: "Tests/TokenizerProbe",
      swiftSettings: common),
    .executableTarget(
      name: "product-bench",
      dependencies: ["Kernels", "LanguageModels", "Layers", "TensorStorage", "Training"],
      path: "Tests/ProductBench", swiftSettings: common),
    .target(
      name: "ChildPrograms", dependencies: ["TokenData"], path: "Tests/ChildPrograms",
      swiftSettings: common),
    .target(
      name: "ToyOptimizers", dependencies: ["Optimizers", "TensorStorage"],
      path: "Tests/ToyOptimizers", swiftSettings: common),
    .executableTarget(
      name: "toy-family",
      dependencies: [
        "Collectives", "Evaluation", "Fields", "HuggingFaceInterop", "JSON", "Kernels",
        "LanguageModels", "Layers", "Optimizers", "StateExpansion", "TensorStorage",
        "ToyOptimizers", "Training", logging,
      ],
      path: "Tests/ToyFamily", swiftSettings: common),
    .testTarget(
      name: "DistributedTests",
      dependencies: [
        "ChildPrograms", "JSON", "TokenData", "ToyOptimizers", "training-probe", "toy-family",
      ],
      swiftSettings: common),
    .executableTarget(
      name: "fault-campaign", dependencies: ["ChildPrograms", "TensorStorage", argumentParser],
      path: "Tests/FaultCampaign", swiftSettings: common),
    .executableTarget(
      name: "fuzz",
      dependencies: [
        "Charts", "Checkpointing", "ChildPrograms", "Compression", "ErrorReporting", "Evaluation",
        "Fields", "Files", "HuggingFaceInterop", "JSON", "Kernels", "LanguageModels", "Layers",
        "RecallTasks", "Reports", "TensorFiles", "TensorStorage", "TokenData", "Training",
        "TrainingMetrics",
        "Watchdog",
      ],
      path: "Tests/Fuzz", exclude: ["Inputs"], swiftSettings: common),
    .testTarget(
      name: "FuzzTests", dependencies: ["ChildPrograms", "fuzz"], swiftSettings: common),
    .executableTarget(
      name: "collectives-probe", dependencies: ["Collectives"], path: "Tests/CollectivesProbe",
      swiftSettings: common),
    .testTarget(
      name: "CollectivesTests", dependencies: ["ChildPrograms", "collectives-probe"],
      swiftSettings: common),
  ]
)
