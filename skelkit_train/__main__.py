from skelkit_train.cli import main

main(prog_name="skelkit-train")
