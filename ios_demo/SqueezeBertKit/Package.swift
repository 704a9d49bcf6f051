// swift-tools-version: 6.0

import PackageDescription

let package = Package(
  name: "SqueezeBertKit",
  platforms: [.iOS(.v17), .macOS(.v14)],
  products: [.library(name: "SqueezeBertKit", targets: ["SqueezeBertKit"])],
  targets: [
    .target(name: "SqueezeBertKit"),
    .executableTarget(name: "squeezebert-kit", dependencies: ["SqueezeBertKit"]),
    .testTarget(name: "SqueezeBertKitTests", dependencies: ["SqueezeBertKit"]),
  ]
)
